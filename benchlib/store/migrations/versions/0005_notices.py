"""What has been told to people, so that nothing is told twice; and where raw samples are kept.

Revision ID: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SAMPLES_URL = "Where the clock readings of every batch are kept, an npz file; NULL: nowhere, or no longer"
TOLD_TO = "The channels that took it, such as slack:bench_slack:#performance"


def upgrade() -> None:
    op.create_table(
        "notice",
        sa.Column(
            "subject", sa.Text(), nullable=False, comment="What it was about, such as one missing night"
        ),
        sa.Column(
            "told_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
            comment="When it was told",
        ),
        sa.Column("told_to", sa.ARRAY(sa.Text()), nullable=False, comment=TOLD_TO),
        sa.CheckConstraint("subject <> ''", name=op.f("ck_notice_named")),
        sa.CheckConstraint("cardinality(told_to) >= 1", name=op.f("ck_notice_told")),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_notice")),
        comment="What has been told to people through the notification channels, each subject once",
    )
    op.add_column("measurement", sa.Column("samples_url", sa.Text(), comment=SAMPLES_URL))
    rule = "samples_url <> '' AND status <> 'failed' OR samples_url IS NULL"
    op.create_check_constraint(op.f("ck_measurement_samples_url"), "measurement", rule)


def downgrade() -> None:
    op.drop_constraint("ck_measurement_samples_url", "measurement")
    op.drop_column("measurement", "samples_url")
    op.drop_table("notice")
