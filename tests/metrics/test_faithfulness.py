"""Edges that are true, and edges that are not."""

import numpy as np
import pytest

from refinefuse_med.metrics.faithfulness import evaluate_faithfulness, false_edges

ROWS, COLUMNS = np.mgrid[0.0:32, 0:32]
FLAT = np.zeros((32, 32))


def test_any_weighted_sum_of_the_sources_is_true() -> None:
    a, b = 3 * COLUMNS, 2 * ROWS
    for weight_a, weight_b in ((0, 0), (1, 0), (0.5, 0.5), (0.3, 0.9), (1, 1)):
        assert false_edges(weight_a * a + weight_b * b, a, b).max() == pytest.approx(0, abs=1e-9)


def test_parallel_edges_may_add_up_but_not_more() -> None:
    a, b = 3 * COLUMNS, 2 * COLUMNS
    assert false_edges(5 * COLUMNS, a, b).max() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(false_edges(7 * COLUMNS, a, b), 2.0)


def test_an_edge_turned_round_is_false_by_its_whole_strength() -> None:
    np.testing.assert_allclose(false_edges(-3 * COLUMNS, 3 * COLUMNS, FLAT), 3.0)


def test_an_edge_across_that_neither_has_is_false() -> None:
    np.testing.assert_allclose(false_edges(3 * COLUMNS + 4 * ROWS, 3 * COLUMNS, FLAT), 4.0)


def test_a_line_in_nothing_is_found_where_it_is() -> None:
    line = FLAT.copy()
    line[:, 16:] = 50.0
    strength = false_edges(line, FLAT, FLAT)
    assert (strength.max(axis=0) > 0).nonzero()[0].tolist() == [15, 16]
    scores = evaluate_faithfulness(line, FLAT, FLAT)
    assert scores == {"false edges, 99 %": 25.0, "false edges, largest": 25.0}
