"""Training on two devices ends as on one, up to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

TWO = """
import json, sys
import numpy as np
import tensorflow as tf
cpu, two = tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)
from test_resume import TINY
from test_training import groups
from recsys.training.trainer import train

facts, both = {}, (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
for name in TINY:
    runs = []
    for strategy in both:
        with strategy.scope():
            trained = train(groups(1000), TINY[name].override(epochs=2, patience=2), verbose=False, xla=False)
        losses = [epoch["loss"] for epoch in trained.history["epochs"]] + trained.history.get("refit_losses", [])
        runs.append([losses, *(table.tolist() for table in trained.model.get_weights())])
    facts[name] = runs
json.dump(facts, open(sys.argv[1], "w"))
"""


def test_two_devices_end_where_one_does(tmp_path):
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    subprocess.run([sys.executable, "-c", TWO, str(tmp_path / "facts")], env=environment, check=True, timeout=200)
    for name, (one, two) in json.loads((tmp_path / "facts").read_text()).items():
        assert one[0] == pytest.approx(two[0], rel=1e-4), name
        for own, other in zip(one[1:], two[1:], strict=True):
            assert np.abs(np.subtract(own, other)).max() < 1e-2 * np.abs(own).max(), name
