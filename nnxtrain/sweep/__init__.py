"""Sweeps: many runs from one command, planned, launched, looked at and gone on with.

``spec`` and ``space`` say what is asked for, ``samplers`` choose values, ``launchers`` start the trials, of which each is
one process that runs ``trial``; what is known of a sweep lies in its ``directory``, and ``table`` tells its results.
"""
