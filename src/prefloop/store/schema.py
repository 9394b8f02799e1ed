"""The tables of the ledger. Change one, and `SCHEMA` goes up by one."""

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

SCHEMA = 1

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

prompts = Table(
    "prompts",
    metadata,
    Column("key", String, primary_key=True),
    Column("id", String, nullable=False, index=True),
    Column("text", String, nullable=False),
    Column("messages", JSON, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
    Column("template", String, nullable=False),
    Column("meta", JSON, nullable=False),
)

draws = Table(
    "draws",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("purpose", String, nullable=False),
    Column("chunk", Integer, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("settings", JSON, nullable=False),
    Column("seed", String, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("drawn_at", String, nullable=False),
    UniqueConstraint("round", "purpose", "chunk"),
)

responses = Table(
    "responses",
    metadata,
    Column("id", String, primary_key=True),
    Column("draw", ForeignKey("draws.id"), nullable=False, index=True),
    Column("prompt", ForeignKey("prompts.key"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("text", String, nullable=False),
    Column("tokens", LargeBinary, nullable=False),
    Column("logp", Float),
    Column("logp_sampling", Float),
    Column("source", String, nullable=False),
    Column("policy_version", Integer, nullable=False),
    Column("finished", Boolean, nullable=False),
    Column("desirable", Boolean),
    Column("seed", String, nullable=False),
)

queries = Table(
    "queries",
    metadata,
    Column("id", String, primary_key=True),
    Column("round", Integer, nullable=False, index=True),
    Column("place", Integer, nullable=False),
    Column("prompt", ForeignKey("prompts.key"), nullable=False),
    Column("a", ForeignKey("responses.id"), nullable=False),
    Column("b", ForeignKey("responses.id"), nullable=False),
)

answers = Table(
    "answers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("query", ForeignKey("queries.id"), nullable=False, index=True),
    Column("p", Float),
    Column("missing", String),
    Column("raw", String, nullable=False),
    Column("cost", Float, nullable=False),
    Column("oracle", String, nullable=False),
    Column("asked_at", String, nullable=False),
)
Index("one_answer", answers.c.query, unique=True, sqlite_where=answers.c.p.is_not(None))

logps = Table(
    "logps",
    metadata,
    Column("response", ForeignKey("responses.id"), primary_key=True),
    Column("model", String, primary_key=True),
    Column("value", Float, nullable=False),
)

scores = Table(
    "scores",
    metadata,
    Column("response", ForeignKey("responses.id"), primary_key=True),
    Column("scorer", String, primary_key=True),
    Column("value", Float, nullable=False),
)

stages = Table(
    "stages",
    metadata,
    Column("round", Integer, primary_key=True),
    Column("stage", String, primary_key=True),
    Column("detail", JSON, nullable=False),
    Column("committed_at", String, nullable=False),
)
