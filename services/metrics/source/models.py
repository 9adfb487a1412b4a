"""Decides what a source is made of: its row, and what callers send and get."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, SecretStr
from pydantic import Field as Described
from sqlalchemy import ARRAY, BigInteger, Column, Index, LargeBinary, Text, Uuid
from sqlalchemy import Table as CoreTable
from sqlmodel import Field

from chassis.db import enum_column, instant_column
from chassis.editing import Editable, Patch
from chassis.fields import Input, Name, Readable, UtcDatetime, Version
from services.metrics.db import METADATA, Table
from services.metrics.source.rules import BY_TAGS, PlatformName, SourceState

LONGEST = 1000
WEEK_MINUTES = 10_080
COUNTS = ("received", "stored", "unmapped", "quarantined", "refused")


class Source(Table, Editable, table=True):
    """Of its tokens only hashes are kept; its credentials are sealed. Of either there may be an older one beside the
    newest, until it ends. `received_at` is its watermark."""

    # Tokens are looked up before a workspace is known, so their indexes don't begin with one. Not unique: that would
    # tell a workspace of another's, and 256 random bits don't meet.
    __table_args__ = (
        Index(None, "token_hash"),
        Index(None, "old_token_hash"),
        *(Index(None, "workspace_id", each) for each in ("platform", "state")),
        *(Index(None, "workspace_id", each, "id") for each in ("name", "created_at")),
    )

    platform: PlatformName = Field(sa_column=enum_column(PlatformName, "platform"))
    name: str
    state: SourceState = Field(
        SourceState.ACTIVE, sa_column=enum_column(SourceState, "state", server_default=SourceState.ACTIVE.value)
    )
    campaign_by: list[str] = Field(
        default_factory=lambda: list(BY_TAGS),
        sa_column=Column("campaign_by", ARRAY(Text), nullable=False, server_default="{tags}"),
    )
    honeypots: list[str] = Field(
        default_factory=list, sa_column=Column("honeypots", ARRAY(Text), nullable=False, server_default="{}")
    )
    bot_networks: list[str] = Field(
        default_factory=list, sa_column=Column("bot_networks", ARRAY(Text), nullable=False, server_default="{}")
    )
    token_hash: bytes = Field(sa_column=Column("token_hash", LargeBinary, nullable=False))
    old_token_hash: bytes | None = Field(None, sa_column=Column("old_token_hash", LargeBinary))
    old_token_ends_at: datetime | None = Field(None, sa_column=instant_column("old_token_ends_at", nullable=True))
    credentials: bytes = Field(sa_column=Column("credentials", LargeBinary, nullable=False))
    old_credentials: bytes | None = Field(None, sa_column=Column("old_credentials", LargeBinary))
    old_credentials_end_at: datetime | None = Field(
        None, sa_column=instant_column("old_credentials_end_at", nullable=True)
    )
    created_at: datetime = Field(sa_column=instant_column("created_at"))
    received_at: datetime | None = Field(None, sa_column=instant_column("received_at", nullable=True))


# What came to a source in an hour, and what became of it. Processes add to it every few seconds.
intake = CoreTable(
    "intake", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("source_id", Uuid, primary_key=True),
    instant_column("hour", primary_key=True),
    *(Column(name, BigInteger, nullable=False) for name in COUNTS),
    Index(None, "hour"),
)  # fmt: skip

# Signatures that don't cover a body, each with the body it first came with.
claim = CoreTable(
    "claim", METADATA,
    Column("workspace_id", Uuid, primary_key=True),
    Column("source_id", Uuid, primary_key=True),
    Column("signed", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    instant_column("claimed_at"),
    Index(None, "claimed_at"),
)  # fmt: skip


def _secret(what: str) -> Any:
    # An empty one is refused by its platform, by name.
    return Field(None, max_length=LONGEST, description=what)


class SourceCredentials(Input):
    """What the platform is known by: for each platform its own fields, and no others. None of them is ever shown."""

    public_key: str | None = _secret(
        "sendgrid: the verification key of the signed event webhook, base64 of a DER public key (P-256)."
    )
    signing_secret: SecretStr | None = Field(
        None,
        max_length=LONGEST,
        description="resend, standard: `whsec_` and then base64 of 16 to 64 random bytes, as Standard Webhooks has it. "
        "klaviyo: the secret that the webhook was made with.",
        schema_extra={"examples": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]},
    )
    signing_key: SecretStr | None = _secret(
        "mailgun: the HTTP webhook signing key of the account. customerio: the signing key of the reporting webhook."
    )
    webhook_key: SecretStr | None = _secret("mandrill: the key that it shows beside the webhook.")
    client_secret: SecretStr | None = _secret("hubspot: the client secret of the app.")
    username: str | None = _secret("postmark, mailjet, brevo, sparkpost: of the basic authentication; without a colon.")
    password: SecretStr | None = _secret("postmark, mailjet, brevo, sparkpost: of the basic authentication.")
    topic_arns: Annotated[list[Annotated[str, Described(max_length=400)]], Described(max_length=20)] | None = Field(
        None, description="ses: the SNS topics that are believed.",
        schema_extra={"examples": [["arn:aws:sns:eu-west-1:123456789012:mail-events"]]},
    )  # fmt: skip

    def plain(self) -> dict[str, Any]:
        """Those that were sent, as they are sealed."""
        sent = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in sent.items()
            if value is not None
        }


CampaignBy = Annotated[
    list[Annotated[str, Described(max_length=105)]],
    Described(
        min_length=1,
        max_length=10,
        description="Where an event says which campaign it belongs to, the most telling first: `tags` (the platform's "
        "tags, categories or campaign), `data.KEY` (a custom argument, metadata key, user variable or header), "
        "`utm_campaign` (of the clicked link). The first value that is a campaign's slug decides. It holds for events "
        "that come from then on.",
        examples=[["data.campaign", "utm_campaign", "tags"]],
    ),
]


Honeypots = Annotated[
    list[Annotated[str, Described(min_length=1, max_length=2000)]],
    Described(
        max_length=100,
        description="Links in its mails that no person sees, as clicks name them: whoever follows one is a machine, "
        "and so is what it does to that message within a minute. It holds for events that come from then on.",
        examples=[["https://example.com/trap"]],
    ),
]
BotNetworks = Annotated[
    list[Annotated[str, Described(max_length=50, examples=["192.0.2.0/24"])]],
    Described(
        max_length=1000,
        description="Networks that no person reads mail in, such as a data centre's or a scanner's: who acts from "
        "there is a machine. It holds for events that come from then on, of platforms that tell the address.",
    ),
]


class SourceSettings(Input):
    """What can be changed of a source."""

    name: Name = Field(schema_extra={"examples": ["Newsletter account"]})
    campaign_by: CampaignBy = list(BY_TAGS)
    honeypots: Honeypots = []
    bot_networks: BotNetworks = []


class SourceCreate(SourceSettings):
    """A new source: one account at one platform."""

    platform: PlatformName
    credentials: SourceCredentials | None = Field(
        None,
        description="Left out where the platform shows its secret only once it knows the URL (mandrill, and others by "
        "their settings): the source answers the platform's checks and believes nothing, until `rotate` brings it.",
    )


class SourcePatch(Patch, of=SourceSettings):
    """What may change of a source."""


class SourceRotate(Input):
    """New credentials beside those so far."""

    credentials: SourceCredentials
    keep_old_minutes: int = Field(
        1440, ge=0, le=WEEK_MINUTES, description="How long those so far are still taken, up to a week; 0: they end now."
    )


class SourceReaddress(Input):
    """A new URL beside the one so far."""

    keep_old_minutes: int = Field(
        1440, ge=0, le=WEEK_MINUTES, description="How long the URL so far still works, up to a week; 0: it ends now."
    )


class SourceRead(Readable):
    """A source, without its secrets."""

    id: UUID
    platform: PlatformName
    name: str
    state: SourceState = Described(
        description="`awaiting`: it has a URL, and believes nothing before `rotate` brings credentials. `paused`: its "
        "platform is asked to come again later."
    )
    campaign_by: list[str] = Described(examples=[["tags"]])
    honeypots: list[str] = Described(description="Links that no person sees.")
    bot_networks: list[str] = Described(description="Networks that no person reads mail in.")
    created_at: UtcDatetime
    received_at: UtcDatetime | None = Described(description="When its latest post arrived; null before the first.")
    old_token_ends_at: UtcDatetime | None = Described(description="Until when the URL before this one works.")
    old_credentials_end_at: UtcDatetime | None = Described(
        description="Until when the credentials before these are taken."
    )
    version: Version


class SourceCreated(SourceRead):
    """A source with a new URL to paste at the platform, which is shown this once."""

    webhook_url: str = Described(
        repr=False,
        description="A secret: the platform posts its events here. `readdress` makes another if it is lost.",
        examples=["https://events.example.com/v1/webhooks/kq3…"],
    )


class SourceHealth(BaseModel):
    """What came to a source lately, and what became of it. Each process counts by itself and tells every few seconds:
    what it counted just before a crash may be missing."""

    source_id: UUID
    state: SourceState
    last_event_at: UtcDatetime | None = Described(description="When its latest post arrived; null before the first.")
    hours: int = Described(description="How far back the rest looks, from now.")
    events_per_hour: float = Described(description="Readable events a whole hour, repeated ones among them.")
    received: int = Described(description="Events that could be read, repeated ones among them.")
    duplicates: int = Described(description="Of these, how many were known already: platforms send again.")
    unmapped: int = Described(
        description="Of the new ones, how many were of no campaign when they came: nothing that `campaign_by` "
        "names was a campaign's slug. A campaign that is made later takes them over all the same."
    )
    quarantined: int = Described(description="Parts of authentic posts that couldn't be read; see `/v1/quarantine`.")
    refused: int = Described(
        description="Posts that weren't believed: a few are somebody's tries, all of them a wrong secret."
    )
