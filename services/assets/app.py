"""Decides which slices make up the assets service."""

from chassis.service import create_service
from services.assets.asset import api as asset
from services.assets.asset.objects import open_objects
from services.assets.db import METADATA
from services.assets.events import CONSUMES

app = create_service(
    "assets",
    asset.router,
    metadata=METADATA,
    description="What campaigns are made of: logos, photos, texts, videos; their bytes and what is known of them.",
    consumes=CONSUMES,
    resources=[open_objects],
    body_limits={"/v1/assets": "upload_limit"},
)
