"""The ground that every desk stands on: money, rates, lots, prices, time, ranges, ids, errors.

Pure Python. It imports no framework, opens no file and no socket, and holds no state but its tables.
"""
