"""Decides what the contract says of the bodies that platforms post: the shape of events of one's own, and an example of
each platform's."""

import json
from typing import Any

from services.metrics.event.rules import EventType

OPENED = {
    "type": "opened", "recipient": "ann@example.com", "message_id": "m-1", "occurred_at": "2026-03-01T12:00:00Z",
    "tags": ["spring-launch"], "machine": False,
}  # fmt: skip
CLICKED = {**OPENED, "type": "clicked", "url": "https://example.com/offer"}
EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "occurred_at"],
    "properties": {
        "type": {"type": "string", "enum": [each.value for each in EventType]},
        "occurred_at": {"type": "string", "format": "date-time", "description": "With its offset."},
        "recipient": {"type": "string", "description": "The address; without it no unique count sees the event."},
        "message_id": {"type": "string", "description": "Your id of the message sent to this recipient."},
        "url": {"type": "string", "description": "The link of a click."},
        "tags": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The first that is a campaign's slug decides which campaign it counts for.",
        },
        "metadata": {
            "type": "object",
            "description": "Values of your own; `campaign_by` of the source may name one as `data.KEY`.",
        },
        "machine": {"type": "boolean", "description": "True where no person acted: counted, but not as human."},
        "id": {"type": "string", "description": "Yours; never part of an event's identity."},
    },
}
PLATFORM_EXAMPLES: dict[str, tuple[str, Any]] = {
    "sendgrid": ("SendGrid's event webhook", [
        {"event": "open", "email": "ann@example.com", "timestamp": 1772366400, "sg_message_id": "14c5d75ce93.dfd.64b",
         "category": ["spring-launch"], "sg_machine_open": False},
    ]),
    "mailgun": ("Mailgun's webhook", {
        "signature": {"timestamp": "1772366400", "token": "a" * 50, "signature": "0" * 64},
        "event-data": {"event": "clicked", "id": "Ase7i2zsRYeDXztHGENqRA", "timestamp": 1772366400.329574,
                       "recipient": "ann@example.com", "tags": ["spring-launch"], "url": "https://example.com/offer",
                       "message": {"headers": {"message-id": "20260301.1@mg.example.com"}}},
    }),
    "postmark": ("Postmark's webhooks", {
        "RecordType": "Open", "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "Recipient": "ann@example.com",
        "ReceivedAt": "2026-03-01T12:00:00.0000000Z", "Tag": "spring-launch", "Metadata": {"cohort": "7"},
    }),
    "ses": ("SES by way of SNS (as text/plain)", {
        "Type": "Notification", "MessageId": "da41e39f-ea4d-435a-b922-c6aae3915ebe",
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mail-events",
        "Message": json.dumps({
            "eventType": "Delivery",
            "mail": {"messageId": "0102018f-example", "tags": {"campaign": ["spring-launch"]}},
            "delivery": {"timestamp": "2026-03-01T12:00:00.000Z", "recipients": ["ann@example.com"]},
        }),
        "Timestamp": "2026-03-01T12:00:01.000Z", "SignatureVersion": "2", "Signature": "EXAMPLE",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-example.pem",
    }),
    "brevo": ("Brevo's webhook", {
        "event": "click", "email": "ann@example.com", "message-id": "<202603011200.1@smtp-relay.example.com>",
        "ts_epoch": 1772366400000, "tags": ["spring-launch"], "link": "https://example.com/offer",
    }),
    "mailjet": ("Mailjet's event API", [
        {"event": "sent", "time": 1772366400, "MessageID": 19421777835146490, "email": "ann@example.com",
         "customcampaign": "spring-launch"},
    ]),
    "sparkpost": ("SparkPost's webhook", [
        {"msys": {"track_event": {"type": "click", "event_id": "92356927693813856", "timestamp": "1772366400",
                                  "rcpt_to": "ann@example.com", "message_id": "000443ee14578172be22",
                                  "campaign_id": "spring-launch", "target_link_url": "https://example.com/offer"}}},
    ]),
    "resend": ("Resend's webhook", {
        "type": "email.opened", "created_at": "2026-03-01T12:00:00.000Z",
        "data": {"email_id": "56761188-7520-42d8-8898-ff6fc54ce618", "to": ["ann@example.com"],
                 "tags": {"campaign": "spring-launch"}},
    }),
    "hubspot": ("HubSpot's webhooks, version 3", [
        {"eventId": 100, "subscriptionId": 1234, "portalId": 62515, "occurredAt": 1772366400000,
         "subscriptionType": "contact.creation", "attemptNumber": 0, "objectId": 123},
    ]),
    "klaviyo": ("Klaviyo's system webhooks", {
        "data": [{"topic": "event:klaviyo.opened_email", "external_id": "3xyzq", "payload": {"data": {
            "type": "event", "attributes": {"datetime": "2026-03-01T12:00:00+00:00", "event_properties": {
                "Recipient Email Address": "ann@example.com", "Campaign Name": "spring-launch"}}}}}],
        "meta": {"klaviyo_webhook_id": "01HQ", "timestamp": "2026-03-01T12:00:01+00:00"},
    }),
    "customerio": ("Customer.io's reporting webhooks", {
        "event_id": "01E4C4CT6YDC7Y5M7FE1GWWPQJ", "object_type": "email", "metric": "opened", "timestamp": 1772366400,
        "data": {"recipient": "ann@example.com", "delivery_id": "RPILAgUBcRhIBqSfeiIwdIYJKxTY", "campaign_id": 7},
    }),
}  # fmt: skip
CLOUD_EVENT = {
    "specversion": "1.0", "id": "1", "source": "/mailer", "type": "mail.opened", "time": "2026-03-01T12:00:00Z",
    "data": {"recipient": "ann@example.com", "message_id": "m-1", "tags": ["spring-launch"]},
}  # fmt: skip
MAILCHIMP = (
    "type=unsubscribe&fired_at=2026-03-01+12%3A00%3A00&data%5Bemail%5D=ann%40example.com&data%5Blist_id%5D=a6b5da1054"
)
MANDRILL = (
    "mandrill_events=%5B%7B%22event%22%3A%22open%22%2C%22ts%22%3A1772366400%2C%22msg%22%3A%7B%22_id%22%3A%22exampleaaa%22%2C"
    "%22email%22%3A%22ann%40example.com%22%2C%22tags%22%3A%5B%22spring-launch%22%5D%7D%7D%5D"
)
EVENT_BODY: dict[str, Any] = {
    "oneOf": [
        {"type": "array", "items": EVENT_SCHEMA},
        {
            "type": "object",
            "required": ["events"],
            "properties": {"events": {"type": "array", "items": EVENT_SCHEMA}},
        },
        EVENT_SCHEMA,
    ]
}
WEBHOOK: dict[str, Any] = {
    "x-graph": False,
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": EVENT_BODY,
                "examples": {
                    "one": {"summary": "A standard source's single event", "value": OPENED},
                    "several": {"summary": "A standard source's batch", "value": {"events": [OPENED, CLICKED]}},
                    "cloudevent": {"summary": "A standard source's CloudEvent", "value": CLOUD_EVENT},
                    **{
                        name: {"summary": f"{what}, in its own format", "value": value}
                        for name, (what, value) in PLATFORM_EXAMPLES.items()
                    },
                },
            },
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object"},
                "examples": {
                    "mailchimp": {"summary": "Mailchimp's webhook about a list", "value": MAILCHIMP},
                    "mandrill": {"summary": "Mandrill's webhook", "value": MANDRILL},
                },
            },
        },
    },
}
