"""The sources with what came in for each."""

from sqlalchemy import func, select

from ..database import Database
from ..models import Message, Source
from ..stamp import Stamper
from .messages import COUNT_CAP
from .rows import SourceRow


def source_rows(database: Database, stamper: Stamper) -> tuple[SourceRow, ...]:
    capped = select(Message.id).where(Message.source_id == Source.id).limit(COUNT_CAP).correlate(Source).subquery()
    count = select(func.count()).select_from(capped).scalar_subquery()
    newest = (
        select(Message.created_at).where(Message.source_id == Source.id).order_by(Message.id.desc()).limit(1)
    ).scalar_subquery()
    with database.reading() as session:
        rows = session.execute(
            select(Source.id, Source.name, Source.created_at, count, newest).order_by(Source.name)
        ).all()
    return tuple(
        SourceRow(
            id=row[0],
            name=row[1],
            url=(stamp := stamper.issue(row[0])).url,
            secret=stamp.secret,
            created_at=row[2],
            messages=row[3],
            last_message_at=row[4],
        )
        for row in rows
    )
