"""The statements of the hot path and of the listings: constant texts, short ones, as each is hashed at every call."""

from __future__ import annotations

from ..sql.columns import KEPT_COLUMNS, RECORD_COLUMNS, VALUE_COLUMNS
from ..sql.places import EPOCH, with_policy
from ..sql.policies import CURRENT_PAST

__all__ = [
    "ADD", "EDIT", "ENTRY", "FIND", "FIND_INLINE", "PAST", "PAST_KEYS", "PUT", "PUT_ENDING", "PUT_FULL", "RECORD",
    "REPLACE_AT", "RESOLVE_DEEP", "RESTORE", "VISIBLE", "WRITE_PAST", "keys_statement", "resolve_statement",
    "search_statement",
]  # fmt: skip

_FROM = "FROM records r LEFT JOIN blobs b ON b.id=blob"
_CURRENT = f"({EPOCH})=?3"

FIND = f"SELECT {VALUE_COLUMNS} {_FROM} WHERE scope=?1 AND key=?2 AND {_CURRENT}"
"""Value rows of key ?2 in scope ?1 of epoch ?3, at most one a tier. Which of them counts is decided outside: ORDER BY
would cost a microsecond."""

# The same without a look at the blobs, which few small values have.
FIND_INLINE = (
    "SELECT tier,version,expires,algorithm,digest,size,codec,config,signature,data,blob FROM records "
    f"WHERE scope=?1 AND key=?2 AND {_CURRENT}"
)
RECORD = f"SELECT {RECORD_COLUMNS} {_FROM} WHERE scope=?1 AND key=?2 AND {_CURRENT}"
"""The record rows."""

ENTRY = f"SELECT {RECORD_COLUMNS},{VALUE_COLUMNS} {_FROM} WHERE scope=?1 AND key=?2 AND {_CURRENT}"
"""Both, in one row."""

PAST = f"{ENTRY.replace('FROM records r', 'FROM past r')} AND {CURRENT_PAST} ORDER BY r.version DESC"
"""The same of the versions that are kept and count at ?4, the newest first."""

VISIBLE = "SELECT ifnull(max(version),0) FROM records WHERE scope=?1 AND key=?2 AND (expires IS NULL OR expires>?3)"
"""The version of key ?2 in scope ?1 that is seen at ?3, 0 for none; without GROUP BY there is always one row."""


def _version(guard: str = "") -> str:
    """The next version of key ?2 in scope ?1, NULL when the epoch is not ?3, or the ceiling is reached."""
    return (
        f"(SELECT CASE WHEN v<ceiling{guard} THEN v+1 END FROM (SELECT ceiling,"
        "max(floor,ifnull((SELECT max(version) FROM records WHERE scope=?1 AND key=?2),0)) v "
        f"FROM scopes WHERE id=?1 AND {_CURRENT}))"
    )


_REPLACED = (
    "version=excluded.version,flags=excluded.flags,created={created},"
    "updated=excluded.updated,expires=excluded.expires,tags=excluded.tags,{session}"
    "algorithm=excluded.algorithm,digest=excluded.digest,size=excluded.size,codec=excluded.codec,"
    "config=excluded.config,signature=excluded.signature,data=excluded.data"
)
# created is that of the record replaced, unless that one had expired and so was no longer there.
_CREATED = "CASE WHEN expires<=excluded.updated THEN excluded.updated ELSE created END"
_SESSION = "session=excluded.session,"
_PUT_OVER = _REPLACED.format(created=_CREATED, session=_SESSION)

_PUT = (
    "INSERT INTO records(scope,key,tier,version,flags,created,updated,expires,tags,algorithm,digest,size,codec,config,"
    "signature,data{columns})VALUES(?1,?2,{tier},{version},?4,?5,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14{values})"
    "ON CONFLICT(scope,key,tier)DO UPDATE SET {over} WHERE blob IS NULL RETURNING version,created"
)
PUT_ENDING = _PUT.format(columns=",session", tier=1, version=_version(), values=",?15", over=_PUT_OVER)
"""Put an inline value that ends with session ?15, as PUT."""

# A durable row has no session, and no index need be looked at.
_DURABLE_OVER = _REPLACED.format(created=_CREATED, session="")
PUT = _PUT.format(columns="", tier=0, version=_version(), values="", over=_DURABLE_OVER)
"""Put an inline durable value. It does not name blob, so it has no trigger code; a record with a blob is left as it is
(no row comes back) for PUT_FULL."""

REPLACE_AT = (
    f"UPDATE records SET version={_version()},flags=?4,updated=?5,expires=?6,tags=?7,algorithm=?8,digest=?9,size=?10,"
    "codec=?11,config=?12,signature=?13,data=?14 WHERE scope=?1 AND key=?2 AND tier=0 AND version=?15 "
    "AND blob IS NULL AND(expires IS NULL OR expires>?5)"
    "AND NOT EXISTS(SELECT 1 FROM records WHERE scope=?1 AND key=?2 AND tier=1)RETURNING version,created"
)
"""As PUT, over the inline record of version ?15. An ephemeral record may be the visible one, so where one is, nothing
is done."""

_FULL = (
    "INSERT INTO records(scope,key,tier,version,flags,created,updated,expires,tags,algorithm,digest,size,codec,config,"
    "signature,data,session,blob)VALUES(?1,?2,?17,{version},?4,{created},?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16)"
    "ON CONFLICT(scope,key,tier)DO UPDATE SET {over},blob=excluded.blob RETURNING version,created"
)
PUT_FULL = _FULL.format(version=_version(), created="?5", over=_PUT_OVER)
"""Put any value in any tier; the reference to its blob was taken before."""

RESTORE = _FULL.format(version="?3", created="?18", over=_REPLACED.format(created="excluded.created", session=_SESSION))
"""The same under version ?3, made at ?18."""

WRITE_PAST = (
    f"INSERT INTO past(scope,key,tier,{KEPT_COLUMNS})"
    "VALUES(?1,?2,?17,?3,?4,?18,?5,?6,?7,?15,?8,?9,?10,?11,?12,?13,?16,?14)"
)
"""Keep a version; the values are those of RESTORE."""

EDIT = (
    f"UPDATE records SET version={_version()},flags=?5,updated=?6,expires=?7,tags=?8,codec=?9 "
    "WHERE scope=?1 AND key=?2 AND tier=?4 RETURNING version"
)
"""Change what is not content of a row of tier ?4."""

_NO_EPHEMERAL = " AND NOT EXISTS(SELECT 1 FROM records WHERE scope=?1 AND key=?2 AND tier=1)"
ADD = (
    "INSERT INTO records(scope,key,tier,version,flags,created,updated,algorithm,size,codec,data)"
    f"VALUES(?1,?2,0,{_version(_NO_EPHEMERAL)},0,?4,?4,0,8,?6,?5)"
    "ON CONFLICT(scope,key,tier)DO UPDATE SET version=excluded.version,flags=0,updated=?4,data=data+?5 "
    "WHERE codec=?6 AND typeof(data)='integer' AND typeof(data+?5)='integer' "
    "AND(expires IS NULL OR expires>?4)"
    "RETURNING data,key,tier,version,flags,created,updated,expires,tags,session,algorithm,digest,size,codec,config,"
    "NULL,NULL,NULL"
)
"""Add ?5 to a native integer (codec ?6) at ?4. typeof: a sum beyond 64 bits would turn REAL in silence. An ephemeral
record may hide the number, so where one is, nothing is done."""


def resolve_statement(depth: int) -> str:
    """What a path of this depth comes to, in one statement and so of one moment; the pairs are its parameters."""
    found = "0"
    for _ in range(depth):
        found = f"(SELECT id FROM scopes WHERE parent={found} AND kind=? AND name=?)"
    return with_policy(f"SELECT epoch,{found} AS id FROM store WHERE id=1")


RESOLVE_DEEP = with_policy(
    "WITH RECURSIVE walk(n,id) AS (SELECT 0,0 UNION ALL SELECT n+1,(SELECT id FROM scopes WHERE parent=walk.id "
    "AND kind=json_extract(?1,'$['||n||'][0]') AND name=json_extract(?1,'$['||n||'][1]')) FROM walk "
    "WHERE n<?2 AND id IS NOT NULL) SELECT epoch,(SELECT id FROM walk WHERE n=?2) AS id FROM store WHERE store.id=1"
)
"""The same as :func:`resolve_statement` gives, for paths too deep for that: ?1 is the path as JSON, ?2 its depth."""


# ?1 scope, ?2 start, ?3 epoch, ?4 now, ?5 limit, ?6 end. The index covers all but the expiry, and the rows behind it
# are far apart: while few records in the store are expired, they are taken out by their ids instead. CASE, since of an
# OR SQLite would evaluate the row's part first.
_FEW = 50
_EXPIRED = f"FROM records INDEXED BY records_expires WHERE expires<=?4 LIMIT {_FEW}"
_LIVE = (
    f"CASE(SELECT count(*) FROM (SELECT 1 {_EXPIRED}))WHEN 0 THEN 1 WHEN {_FEW} THEN r.expires IS NULL OR r.expires>?4 "
    f"ELSE r.id NOT IN (SELECT id {_EXPIRED})END"
)


PAST_KEYS = (
    "SELECT DISTINCT key FROM past r WHERE scope=?1 AND key>=?2 AND(?5 IS NULL OR key<?5)"
    f"AND {_CURRENT} AND EXISTS(SELECT 1 FROM policies WHERE scope=?1 AND history>0)"
    "AND(expires IS NULL OR expires>?4)ORDER BY key LIMIT ?6"
)
"""Keys of scope ?1 from ?2 on and before ?5 that have kept versions at ?4, in epoch ?3, at most ?6."""


def keys_statement(bounded: bool) -> str:
    """Keys of a scope from ?2 on, to before ?6 when ``bounded``."""
    end = "AND key<?6 " if bounded else ""
    return (
        f"SELECT DISTINCT key FROM records r INDEXED BY records_key WHERE scope=?1 AND key>=?2 {end}"
        f"AND {_CURRENT} AND {_LIVE} ORDER BY key LIMIT ?5"
    )


# Of two tiers the higher version: the other one is looked for in an index that holds ephemeral records only.
_HIGHEST = (
    "NOT EXISTS(SELECT 1 FROM records o INDEXED BY records_ephemeral WHERE o.scope=?1 AND o.key=r.key AND o.tier=1 "
    "AND r.tier=0 AND o.version>r.version AND(o.expires IS NULL OR o.expires>?4))"
    "AND(r.tier=0 OR NOT EXISTS(SELECT 1 FROM records o WHERE o.scope=?1 AND o.key=r.key AND o.tier=0 "
    "AND o.version>r.version AND(o.expires IS NULL OR o.expires>?4)))"
)
_TAGGED = "AND(SELECT count(*) FROM json_each(?9) w JOIN json_each(r.tags) t ON t.key=w.key AND t.value=w.value)=?10 "


def search_statement(column: str, descending: bool, *, bounded: bool, after: bool, tagged: bool) -> str:
    """A page of records: ?1 scope, ?2 start, ?3 epoch, ?4 now, ?5 limit, ?6 end, ?7 and ?8 where the page before ended
    (value and key; in the order of keys start or end say that), ?9 tags and ?10 their number. All ten are named in each
    form, so that all take the same tuple."""
    way, beyond = ("DESC", "<") if descending else ("ASC", ">")
    where = "scope=?1 AND r.key>=?2 "
    order = f"r.key {way}" if column == "key" else f"r.{column} {way},r.key"
    if bounded:
        where += "AND r.key<?6 "
    if after:
        where += f"AND(r.{column}{beyond}?7 OR r.{column}=?7 AND r.key>?8)"
    if tagged:
        where += _TAGGED
    return (
        f"SELECT {RECORD_COLUMNS} FROM records r INDEXED BY records_key LEFT JOIN blobs b ON b.id=blob WHERE {where}"
        f"AND(r.expires IS NULL OR r.expires>?4)AND {_CURRENT} AND {_HIGHEST} AND ifnull(?10,1)"
        f"ORDER BY {order} LIMIT ?5"
    )
