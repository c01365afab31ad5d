"""Cluster the faces of a whole archive into people.

Agglomerative clustering with average linkage on the cosine of embeddings (UPGMA, Sokal and Michener
1958): two groups are joined while their faces are similar on average. The mean cosine between two
groups is the product of their mean embeddings, so a group can stand for its faces and any number of
faces is clustered in bounded memory: first the neighbours are found, then linkage runs only within
what they connect.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from photoveil.transforms.faces.neighbours import nearest_pairs

LIKENESS = 0.55
"""Least mean cosine of MobileFaceNet embeddings of two groups that are one person. Of the 24 people
it was chosen on, two fall together at 0.45, and some come apart from 0.58 on."""
_MOST_LINKED = 4_000  # items of one linkage: their distances take 8 bytes a pair
_PAIRS_AT_ONCE = 20_000  # whose mean embeddings are compared together: 30 MB
_SLACK = 1e-3  # of cosines: mean embeddings are no longer than 1, but for rounding
_MOST_ROUNDS = 6


def cluster(embeddings: np.ndarray, likeness: float = LIKENESS) -> np.ndarray:
    """Group the faces of each person.

    Args:
        embeddings: float32 (n, d), rows of unit length.
        likeness: least mean cosine of two groups that are joined.

    Returns:
        int64 (n,) numbers of the groups. Their order means nothing.
    """
    labels: np.ndarray = np.arange(len(embeddings))
    sums = embeddings.astype(np.float32)
    sizes = np.ones(len(embeddings), np.float32)
    for _ in range(_MOST_ROUNDS):
        joined = _join(sums / sizes[:, np.newaxis], likeness)
        count = int(joined.max(initial=-1)) + 1
        if count == len(sums):
            break
        labels = joined[labels]
        sums = _sums(sums, joined, count)
        sizes = np.bincount(joined, weights=sizes, minlength=count).astype(np.float32)
    return labels


def _join(means: np.ndarray, likeness: float) -> np.ndarray:
    """Do one round: join groups that are similar on average by their mean embeddings, (n,)."""
    if len(means) < 2:
        return np.arange(len(means))
    joined = np.full(len(means), -1)
    next_label = 0
    for part in _parts(means, likeness):
        found = _linked(means[part], likeness) if len(part) > 1 else np.zeros(1, np.int64)
        joined[part] = found + next_label
        next_label += int(found.max()) + 1
    return joined


def _linked(means: np.ndarray, likeness: float) -> np.ndarray:
    """Link two or more groups, and number those that are joined from 0 on, (n,)."""
    apart = np.maximum(1.0 - means @ means.T, 0.0)
    np.fill_diagonal(apart, 0.0)
    tree = linkage(squareform(apart, checks=False), "average")
    joined: np.ndarray = fcluster(tree, 1.0 - likeness, "distance") - 1
    return joined.astype(np.int64)


def _parts(means: np.ndarray, likeness: float) -> list[np.ndarray]:
    """Split into index sets that no similar pair crosses; cut a set too large to link at once."""
    unit = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    rows, columns = nearest_pairs(unit, likeness - _SLACK)
    alike = np.concatenate(
        [
            np.einsum("id,id->i", means[rows[some]], means[columns[some]]) >= likeness
            for some in _spans(len(rows), _PAIRS_AT_ONCE)
        ]
    )
    graph = csr_matrix((alike[alike], (rows[alike], columns[alike])), (len(means),) * 2)
    _, component = connected_components(graph, directed=False)
    parts = _split(component)
    return [piece for part in parts for piece in _pieces(part, unit)]


def _pieces(part: np.ndarray, unit: np.ndarray) -> list[np.ndarray]:
    if len(part) <= _MOST_LINKED:
        return [part]
    from sklearn.cluster import BisectingKMeans

    pieces = BisectingKMeans(-(-2 * len(part) // _MOST_LINKED), random_state=0).fit_predict(
        unit[part]
    )
    return [part[piece] for piece in _split(pieces)]


def _spans(count: int, most: int) -> list[slice]:
    return [slice(start, start + most) for start in range(0, max(count, 1), most)]


def _split(labels: np.ndarray) -> list[np.ndarray]:
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def _sums(sums: np.ndarray, joined: np.ndarray, count: int) -> np.ndarray:
    members = csr_matrix(
        (np.ones(len(sums), np.float32), (joined, np.arange(len(sums)))), (count, len(sums))
    )
    return members @ sums
