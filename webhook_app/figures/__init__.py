"""Read-only questions of the pages and the command line; one function, one question; frozen rows come out.

Only this room groups and sums rows. No list is counted past 10,001 and none is paged by offset.
"""

from .callbacks import frame as frame
from .callbacks import latest_balance_iqd as latest_balance_iqd
from .callbacks import newest_callbacks as newest_callbacks
from .callbacks import unplaced as unplaced
from .export import ExportRow as ExportRow
from .export import export_batches as export_batches
from .filters import NO_CHANNEL as NO_CHANNEL
from .filters import Filter as Filter
from .filters import Search as Search
from .filters import understand as understand
from .intake import VERDICTS as VERDICTS
from .intake import callback_page as callback_page
from .intake import find_callback as find_callback
from .intake import intake_minutes as intake_minutes
from .intake import refused_causes as refused_causes
from .messages import every_message as every_message
from .messages import matching as matching
from .messages import newest_to as newest_to
from .messages import page as page
from .messages import search as search
from .messages import search_count as search_count
from .messages import tabs as tabs
from .one_message import find_detail as find_detail
from .one_message import whole_exports as whole_exports
from .overview import overview as overview
from .overview_rows import Health as Health
from .overview_rows import Overview as Overview
from .prices import SenderCost as SenderCost
from .prices import sender_costs as sender_costs
from .ranges import MOST_DAYS as MOST_DAYS
from .ranges import OWN as OWN
from .ranges import RANGES as RANGES
from .ranges import Range as Range
from .ranges import own_range as own_range
from .ranges import range_of as range_of
from .rows import CallbackDetail as CallbackDetail
from .rows import CallbackPage as CallbackPage
from .rows import CallbackRow as CallbackRow
from .rows import Frame as Frame
from .rows import IntakeMinute as IntakeMinute
from .rows import MessageDetail as MessageDetail
from .rows import MessagePage as MessagePage
from .rows import MessageRow as MessageRow
from .rows import RefusedCause as RefusedCause
from .rows import SourceRow as SourceRow
from .sources import source_rows as source_rows
from .spend import day_cells as day_cells
from .spend import month_before as month_before
from .spend import next_month as next_month
from .spend import spend as spend
from .spend_rows import Spend as Spend
from .vitals import Vitals as Vitals
from .vitals import vitals as vitals
