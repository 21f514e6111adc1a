"""Whether an effect is the same in every cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

if TYPE_CHECKING:
    from tracecanary.analytics.statistics.arrays import Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Heterogeneity:
    """How much the effects of cohorts differ, for each metric; NaN for fewer than two cohorts with an effect.

    Args:
        q: Cochran's Q.
        p_value: Of "the effect is the same in every cohort", for one look.
        i_squared: Share of the effects' variation that is no chance, 0..1.
    """

    q: Floats
    p_value: Floats
    i_squared: Floats


def heterogeneity(effects: Floats, errors: Floats) -> Heterogeneity:
    """Compare the effects of cohorts with each other.

    Args:
        effects: On a scale on which they add, shape (cohorts, metrics); NaN where there is none.
        errors: Their standard errors, above 0 where there is an effect.

    Source: Cochran, Biometrics 10 (1954) 101-129; Higgins and Thompson, Stat. Med. 21 (2002) 1539-1558, section 3.3.
    """
    with np.errstate(all="ignore"):
        is_known = np.isfinite(effects) & np.isfinite(errors) & (errors > 0)
        weight = np.where(is_known, 1 / errors**2, 0.0)
        known = np.where(is_known, effects, 0.0)
        mean = (weight * known).sum(axis=0) / weight.sum(axis=0)
        freedom = is_known.sum(axis=0) - 1.0
        q = np.where(freedom > 0, (weight * (known - mean) ** 2).sum(axis=0), np.nan)
        return Heterogeneity(
            q=q,
            p_value=np.where(freedom > 0, chdtrc(np.maximum(freedom, 1.0), q), np.nan),
            i_squared=np.where(freedom > 0, np.maximum(0.0, 1 - freedom / np.maximum(q, 1e-300)), np.nan),
        )
