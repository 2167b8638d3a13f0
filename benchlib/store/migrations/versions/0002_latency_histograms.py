"""Latency histograms that add up, the Neuron SDK of an environment, and rows without counts.

Revision ID: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column(
        "environment",
        sa.Column("neuron_sdk", sa.Text(), comment="Release of the Neuron SDK, such as 2.26.0"),
    )


def downgrade() -> None:
    op.drop_column("environment", "neuron_sdk")
