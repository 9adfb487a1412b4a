"""Decides which platforms there are."""

from collections.abc import Mapping

from services.metrics.source.platforms.brevo import Brevo
from services.metrics.source.platforms.customerio import Customerio
from services.metrics.source.platforms.hubspot import Hubspot
from services.metrics.source.platforms.klaviyo import Klaviyo
from services.metrics.source.platforms.mailchimp import Mailchimp
from services.metrics.source.platforms.mailgun import Mailgun
from services.metrics.source.platforms.mailjet import Mailjet
from services.metrics.source.platforms.mandrill import Mandrill
from services.metrics.source.platforms.platform import Platform
from services.metrics.source.platforms.postmark import Postmark
from services.metrics.source.platforms.resend import Resend
from services.metrics.source.platforms.sendgrid import Sendgrid
from services.metrics.source.platforms.ses import Ses
from services.metrics.source.platforms.sparkpost import Sparkpost
from services.metrics.source.platforms.standard import Standard
from services.metrics.source.rules import PlatformName

PLATFORMS: Mapping[PlatformName, Platform] = {
    PlatformName.SENDGRID: Sendgrid(),
    PlatformName.MAILGUN: Mailgun(),
    PlatformName.MAILCHIMP: Mailchimp(),
    PlatformName.MANDRILL: Mandrill(),
    PlatformName.POSTMARK: Postmark(),
    PlatformName.SES: Ses(),
    PlatformName.BREVO: Brevo(),
    PlatformName.MAILJET: Mailjet(),
    PlatformName.SPARKPOST: Sparkpost(),
    PlatformName.RESEND: Resend(),
    PlatformName.STANDARD: Standard(),
    PlatformName.HUBSPOT: Hubspot(),
    PlatformName.KLAVIYO: Klaviyo(),
    PlatformName.CUSTOMERIO: Customerio(),
}
