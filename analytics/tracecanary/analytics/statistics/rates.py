"""Proportions of traces: failed, retried, fallen back, marked down. The effect is a difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import betaln, expit, logit, psi, xlog1py, xlogy

from tracecanary.analytics.statistics.arrays import Bounds, mover
from tracecanary.analytics.statistics.roots import roots

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.arrays import Floats
    from tracecanary.analytics.statistics.clock import Look

_SMALLEST_RATE = 1e-300


def rate_bounds(rate: Floats, traces: Floats, look: Look) -> Bounds:
    """Compute the interval of each rate: Wilson's for a single look, a beta-binomial mixture's at any time.

    Args:
        rate: Observed rates, 0..1.
        traces: Effective number of traces behind each, any number above 0; 0 or NaN gives an undefined interval.
        look: How the data is read.

    Source: Newcombe, Stat. Med. 17 (1998) 857-872, method 3; Howard et al., Ann. Stat. 49 (2021) 1055-1080, section 3.
    """
    rate, traces = np.broadcast_arrays(np.asarray(rate, dtype=np.float64), np.asarray(traces, dtype=np.float64))
    known = np.isfinite(rate) & (traces > 0)
    safe_rate, safe_traces = np.where(known, rate, 0.5), np.where(known, traces, 1.0)
    if look.planned is None:
        low, high = _wilson(safe_rate, safe_traces, look.z)
    else:
        hits, misses = safe_rate * safe_traces, (1 - safe_rate) * safe_traces
        # Both sides in one call: an upper bound is the lower one of the misses.
        lower = _mixture_lower(np.stack([hits, misses]), np.stack([misses, hits]), look.prior_traces, look.threshold)
        low, high = lower[0], 1 - lower[1]
    # Never past the rate itself: rounding gave 27 out of 27 an upper bound of 0.9999999999999998.
    low, high = np.minimum(np.maximum(low, 0.0), safe_rate), np.maximum(np.minimum(high, 1.0), safe_rate)
    return Bounds(
        value=np.where(known, rate, np.nan), low=np.where(known, low, np.nan), high=np.where(known, high, np.nan)
    )


def rate_differences(
    rates: tuple[Floats, Floats], traces: tuple[Floats, Floats], look: Look, *, correlation: Floats | float = 0.0
) -> Bounds:
    """Compare rates: candidate minus base, with MOVER of the arms' intervals (Newcombe's for a single look).

    Args:
        rates: Of the base and of the candidate, 0..1.
        traces: Effective numbers of traces behind them.
        look: How the data is read.
        correlation: Of the arms' estimates, above 0 where the same users or pairs are in both.

    Returns:
        Differences of fractions in [-1, 1]; NaN where an arm has no traces.

    Source: Newcombe, Stat. Med. 17 (1998) 873-890, method 10.
    """
    arms = rate_bounds(np.stack(rates), np.stack(traces), look)
    base, candidate = (Bounds(value=arms.value[i], low=arms.low[i], high=arms.high[i]) for i in (0, 1))
    found = mover(base, candidate, correlation=correlation)
    return Bounds(value=found.value, low=np.maximum(found.low, -1.0), high=np.minimum(found.high, 1.0))


def log_mixture_e_value(rate: Floats, hits: Floats, misses: Floats, prior_traces: float) -> Floats:
    """Return ln e of `hits` and `misses` against each `rate`: a beta-binomial mixture centred there.

    Source: Howard et al., Ann. Stat. 49 (2021) 1055-1080, section 3 (beta-binomial mixture).
    """
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        prior_hits, prior_misses = prior_traces * rate, prior_traces * (1 - rate)
        mixture = betaln(prior_hits + hits, prior_misses + misses) - betaln(prior_hits, prior_misses)
        found: Floats = np.asarray(mixture - xlogy(hits, rate) - xlog1py(misses, -rate), dtype=np.float64)
        return found


def _wilson(rate: Floats, traces: Floats, z: Floats | float) -> tuple[Floats, Floats]:
    scale = 1 + z * z / traces
    centre = (rate + z * z / (2 * traces)) / scale
    reach = z * np.sqrt(rate * (1 - rate) / traces + z * z / (4 * traces * traces)) / scale
    return centre - reach, centre + reach


def _mixture_lower(hits: Floats, misses: Floats, prior_traces: float, threshold: float) -> Floats:
    """Return the smallest rate that the data does not reject; 0 where even the smallest is not."""
    shape = hits.shape
    hits, misses = hits.ravel(), misses.ravel()
    low = np.zeros_like(hits)
    rate = hits / (hits + misses)
    # One hit or less rejects no rate near 0: its likelihood there falls no faster than the mixture's.
    possible = np.flatnonzero(hits > 1)
    # Just below a rate of 1 the mixture still has both of its sides.
    top = np.minimum(rate[possible], 1 - 1e-12)
    seen_hits, seen_misses = hits[possible], misses[possible]
    bottom = np.maximum(top * 1e-15, _SMALLEST_RATE)
    is_rejected = log_mixture_e_value(bottom, seen_hits, seen_misses, prior_traces) > threshold
    chosen, top, bottom = possible[is_rejected], top[is_rejected], bottom[is_rejected]
    seen_hits, seen_misses = seen_hits[is_rejected], seen_misses[is_rejected]

    def value_and_slope(logit: Floats) -> tuple[Floats, Floats]:
        rate = expit(logit)
        value = log_mixture_e_value(rate, seen_hits, seen_misses, prior_traces) - threshold
        prior_hits, prior_misses = prior_traces * rate, prior_traces * (1 - rate)
        pull = psi(prior_hits + seen_hits) - psi(prior_hits) - psi(prior_misses + seen_misses) + psi(prior_misses)
        return value, prior_traces * pull * rate * (1 - rate) - seen_hits * (1 - rate) + seen_misses * rate

    traces = seen_hits + seen_misses
    ratio = traces / (prior_traces + 1)
    # Wilson's interval with the normal mixture's critical value is near.
    critical = np.sqrt((1 + 1 / ratio) * (np.log1p(ratio) + 2 * threshold))
    guess = np.clip(_wilson(seen_hits / traces, traces, critical)[0], bottom, top)
    low[chosen] = expit(roots(value_and_slope, logit(top), logit(bottom), logit(guess)))
    return low.reshape(shape)
