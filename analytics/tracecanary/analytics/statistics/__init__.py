"""How the candidate differs from the base, and how sure that is, whenever it is looked at.

Pure functions on frozen sufficient statistics, vectorised over cohorts and metrics. The effect is the candidate
compared with the base, larger is worse. Inside this package NaN stands for "not defined" and an infinite bound for "no
bound"; who calls it turns both into None with a reason.
"""
