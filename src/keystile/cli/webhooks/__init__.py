"""`keystile webhooks`: endpoints of customers, what is delivered to them, and the tables that it waits in.

`opening` finds the outbox, `endpoints` and `deliveries` have the commands, `shown` what people and machines read. A
command of its own goes into a module of its own, which `group` adds.
"""
