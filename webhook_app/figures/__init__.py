"""Read-only questions of the pages and the command line; one function, one question; frozen rows come out.

Only this room groups and sums rows. No list is counted past 10,001 and none is paged by offset.
"""

from .callbacks import frame as frame
from .callbacks import latest_balance_iqd as latest_balance_iqd
from .callbacks import newest_callbacks as newest_callbacks
from .callbacks import unplaced as unplaced
from .intake import VERDICTS as VERDICTS
from .intake import callback_page as callback_page
from .intake import find_callback as find_callback
from .intake import intake_minutes as intake_minutes
from .intake import refused_causes as refused_causes
from .messages import Filter as Filter
from .messages import every_message as every_message
from .messages import find_detail as find_detail
from .messages import page as page
from .messages import search as search
from .messages import tabs as tabs
from .overview import RANGES as RANGES
from .overview import overview as overview
from .rows import CallbackDetail as CallbackDetail
from .rows import CallbackPage as CallbackPage
from .rows import CallbackRow as CallbackRow
from .rows import Frame as Frame
from .rows import IntakeMinute as IntakeMinute
from .rows import MessageDetail as MessageDetail
from .rows import MessagePage as MessagePage
from .rows import MessageRow as MessageRow
from .rows import Overview as Overview
from .rows import RefusedCause as RefusedCause
from .rows import SourceRow as SourceRow
from .sources import source_rows as source_rows
