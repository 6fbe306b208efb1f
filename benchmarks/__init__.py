"""What keystile costs, measured. `python -m benchmarks.gate` runs one; `make bench` runs all of them.

`harness` is how all of them measure and print, `bare` the apps and requests that they share, `peers` other limiters.
"""
