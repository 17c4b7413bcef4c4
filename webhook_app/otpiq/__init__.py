"""OTPIQ, the provider: its request and callback shapes, its error classes, and the client that calls it.

No other room knows a provider word such as `smsId`. Sources: OTPIQ's public API reference and its published clients.
"""

from .client import Otpiq as Otpiq
from .client import Sender as Sender
from .document import Unreadable as Unreadable
from .document import read_object as read_object
from .errors import BadKey as BadKey
from .errors import InsufficientCredit as InsufficientCredit
from .errors import InvalidRequest as InvalidRequest
from .errors import NotSent as NotSent
from .errors import OtpiqError as OtpiqError
from .errors import OutcomeUnknown as OutcomeUnknown
from .errors import PhoneRefused as PhoneRefused
from .errors import RateLimited as RateLimited
from .errors import Refused as Refused
from .errors import SenderRefused as SenderRefused
from .errors import SpendingThreshold as SpendingThreshold
from .errors import TrialMode as TrialMode
from .errors import UnknownMessage as UnknownMessage
from .reports import Report as Report
from .reports import parse_report as parse_report
from .reports import parse_tracking as parse_tracking
from .reports import without_codes as without_codes
from .requests import InvalidSend as InvalidSend
from .requests import Problem as Problem
from .requests import SendRequest as SendRequest
from .requests import parse_send as parse_send
