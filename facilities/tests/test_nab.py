"""The benchmark's scoring rules against published results, and the detector's score."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from benchmarks import nab

HERE = (nab.DATA / "data").exists()
if not HERE:
    warnings.warn("NAB TESTS ARE SKIPPED: its series lie in ../shared/data/nab", stacklevel=1)
pytestmark = pytest.mark.skipif(not HERE, reason="NAB TESTS ARE SKIPPED: no ../shared/data/nab")

PUBLISHED = {
    # numenta/NAB results/windowedGaussian/windowedGaussian_standard_scores.csv (@487c0f97). Its
    # threshold is printed as 1.0; 1 − 1e-12 gives its counts.
    "artificialWithAnomaly/art_load_balancer_spikes.csv": -0.6924446095227346,
    "realAWSCloudwatch/ec2_cpu_utilization_24ae8d.csv": -1.266678759349383,
    "realAWSCloudwatch/ec2_cpu_utilization_53ea38.csv": -0.14142319611668508,
    "realAWSCloudwatch/ec2_cpu_utilization_fe7f93.csv": 0.6387577917723906,
    "realAWSCloudwatch/ec2_disk_write_bytes_1ef3de.csv": -4.190896785522053,
    "realAWSCloudwatch/ec2_network_in_5abac7.csv": -3.5219322351911635,
    "realAWSCloudwatch/grok_asg_anomaly.csv": -1.247930964293478,
    "realAWSCloudwatch/rds_cpu_utilization_e47b3b.csv": -0.13844919792440225,
}


@pytest.fixture(scope="module")
def corpus() -> list[nab.Labelled]:
    return nab.load()


@pytest.fixture(scope="module")
def weights() -> dict[str, nab.Weights]:
    return nab.profiles()


def test_it_gives_0_to_silence_and_100_to_perfection(corpus, weights):
    silent = {series.name: np.zeros(len(series.value)) for series in corpus}
    perfect = {series.name: nab.perfect(series) for series in corpus}
    for profile in weights.values():
        assert nab.sweep(corpus, silent, profile).score == 0.0
        assert nab.sweep(corpus, perfect, profile).score == pytest.approx(100.0)


def test_it_scores_windowed_gaussian_as_published(corpus, weights):
    some = [series for series in corpus if series.name in PUBLISHED]
    scores = {series.name: nab.windowed_gaussian(series) for series in some}
    found = nab.score_at(some, scores, weights["standard"], 1 - 1e-12)
    assert found.per_file == pytest.approx(PUBLISHED, abs=1e-3)


def test_it_sweeps_to_the_threshold_a_plain_search_finds(corpus, weights):
    some = corpus[5:9]
    random = np.random.default_rng(2)
    scores = {s.name: np.round(random.random(len(s.value)) ** 0.05, 4) for s in some}
    swept = nab.sweep(some, scores, weights["standard"])
    tried = [*np.unique(np.concatenate(list(scores.values())))[-40:], np.inf]
    best = max(nab.score_at(some, scores, weights["standard"], t).score for t in tried)
    assert swept.score == pytest.approx(best)


def test_it_beats_sixty_on_both_halves_with_one_set_of_constants(corpus, weights):
    scores = nab.detect(corpus)
    assert nab.sweep(corpus, scores, weights["standard"]).score > 65
    for half in nab.halves(corpus).values():
        assert nab.sweep(half, scores, weights["standard"]).score > 60
