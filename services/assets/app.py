"""Decides which slices make up the assets service."""

from chassis.service import create_service
from services.assets.asset import api as asset
from services.assets.db import METADATA
from services.assets.events import CONSUMES
from services.assets.version import api as version
from services.assets.version.objects import SWEEP_INCOMING, open_objects

app = create_service(
    "assets",
    asset.uploads,
    asset.router,
    version.router,
    metadata=METADATA,
    description="What campaigns are made of: logos, photos, texts, videos; their bytes and what is known of them.",
    consumes=CONSUMES,
    jobs=[SWEEP_INCOMING],
    resources=[open_objects],
    body_limits={r"/v1/assets(/[^/]+/versions)?": "upload_limit"},
)
