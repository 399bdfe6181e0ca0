"""A small soak on PostgreSQL: connections are cut, workers die, uploads fail; descriptors and tables stay bounded."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from tests.crash.soak import soaking
from tests.crash.soak_plot import drawing
from tests.crash.test_soak import FILES, assert_flat
from tests.crash.zygote import Zygote
from tests.scale.postgres_server import PostgresServer


def test_soak_on_postgres(tmp_path: Path, zygote: Zygote, postgres: PostgresServer) -> None:
    with soaking(tmp_path, zygote, files=FILES, server=postgres) as soak:
        # All tables and indices: some 2 kB for each file and version.
        assert_flat(soak, log=FILES * 5_000)
        lines = ET.fromstring(drawing(soak.samples, "a soak"))
        assert len(lines.findall("{http://www.w3.org/2000/svg}polyline")) == 4
