"""What keystile costs, measured. `python -m benchmarks.gate` runs one; `make bench` runs all of them.

`harness` measures and prints for all of them, `bare` has the apps and requests that they share, `peers` other limiters.
"""
