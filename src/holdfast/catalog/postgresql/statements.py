"""The statements of the hot path, of commits and of the listings."""

from __future__ import annotations

from ..sql.columns import KEPT_COLUMNS, RECORD_COLUMNS, VALUE_COLUMNS
from ..sql.places import EPOCH, with_policy
from ..sql.policies import CURRENT_PAST
from .schema import CHILD

__all__ = [
    "ADD",
    "BEGIN",
    "CHILDREN",
    "CLOCK",
    "DELETE",
    "EDIT",
    "ENTRY",
    "EXPIRED",
    "FIND",
    "HOLD",
    "HOLD_BLOBS",
    "HOLD_KEYS",
    "KEPT",
    "LOOK",
    "MAKE_SCOPE",
    "PAST",
    "PUT",
    "PUT_ENDING",
    "PUT_FULL",
    "RECORD",
    "REPLACE_AT",
    "RESOLVE",
    "RESTORE",
    "SETTLED",
    "USAGE",
    "WRITE_PAST",
    "keys_statement",
    "past_keys_statement",
    "search_statement",
]  # fmt: skip

CLOCK = "date_part('epoch',clock_timestamp())"
"""Now, by the server's clock, while the statement runs."""

# When the statement began, which is the same for all its rows.
_MOMENT = "date_part('epoch',statement_timestamp())"

SETTLED = (
    f"SELECT greatest(least(began.now,began.first-0.000001),began.now-300) FROM (SELECT {_MOMENT} AS now,"
    "(SELECT min(coalesce(date_part('epoch',a.xact_start),0)) FROM pg_locks l LEFT JOIN pg_stat_activity a USING(pid) "
    "WHERE l.locktype='advisory' AND l.classid=1213156420 AND l.objid='store'::regclass AND l.objsubid=2 AND l.granted "
    "AND l.database=(SELECT oid FROM pg_database WHERE datname=current_database()) "
    "AND a.state IS DISTINCT FROM 'idle') AS first) began"
)
"""A time before all that is not committed yet, at most five minutes ago. Whoever writes records holds the store's lock
from before he looks at the clock until others see what he wrote, and everybody sees who holds it; but not since when,
if he is another user, which is then taken to be long ago."""

BEGIN = f"SELECT epoch,{CLOCK} FROM store WHERE id=1"
"""Epoch and time of a transaction that takes no locks."""

HOLD = "SELECT epoch,now FROM hold('store'::regclass::oid::int8::bit(32)::int4,$1,$2,$3,$4,$5,$6)"
"""Take the locks of a transaction and give epoch and time: $1 whether alone, $2 the epoch of the scopes' ids, $3 a
lease that is taken, $4 one that must stay, $5 and $6 scopes and keys."""

HOLD_KEYS = "SELECT 1 FROM hold_keys($1,$2)"
"""Take the locks of keys $2 in the scopes $1."""

HOLD_BLOBS = (
    "SELECT 1 FROM blobs WHERE(hash=ANY($1::bytea[])AND state=0 AND hash IS NOT NULL)OR id=ANY($2::int8[]) "
    "ORDER BY id FOR UPDATE"
)
"""Take the live blobs of the digests $1, and those of the ids $2. Who takes bundles too takes them after these."""

_FROM = "FROM records r LEFT JOIN blobs b ON b.id=r.blob"

LOOK = f"SELECT r.scope,{RECORD_COLUMNS} FROM unnest($1::int8[],$2::text[]) AS wanted(s,k) " + (
    'JOIN records r ON r.scope=wanted.s AND r.key=wanted.k COLLATE "C" LEFT JOIN blobs b ON b.id=r.blob'
)
"""Scope and record of each of the keys $2 in the scopes $1."""

RECORD = f"SELECT {RECORD_COLUMNS} {_FROM} WHERE r.scope=$1 AND r.key=$2 AND ({EPOCH})=$3"
"""The record rows of key $2 in scope $1 of epoch $3, at most one a tier."""

# A native integer comes last. From the store on: no row at all says that the epoch is another one.
_VALUES = VALUE_COLUMNS.replace("storage,place", "b.storage,b.place") + ",number"
_FROM_STORE = (
    "FROM store s LEFT JOIN records r ON r.scope=$1 AND r.key=$2 LEFT JOIN blobs b ON b.id=r.blob "
    "WHERE s.id=1 AND s.epoch=$3"
)
FIND = f"SELECT {_VALUES} {_FROM_STORE}"
"""Value rows of key $2 in scope $1, with the number behind; one of NULLs when there is none, and none at all when $3 is
not the epoch."""

ENTRY = f"SELECT {RECORD_COLUMNS},{_VALUES} {_FROM} WHERE r.scope=$1 AND r.key=$2 AND ({EPOCH})=$3"
"""Record and value rows, in one row."""

PAST = f"{ENTRY.replace('FROM records r', 'FROM past r')} AND {CURRENT_PAST.replace('?', '$')} ORDER BY r.version DESC"
"""The same of the versions that are kept and count at $4, the newest first."""

RESOLVE = with_policy(
    "WITH RECURSIVE walk(n,id) AS (SELECT 0,0::int8 UNION ALL SELECT n+1,c.id FROM walk JOIN scopes c "
    "ON c.parent=walk.id AND c.place=($1::bytea[])[n+1])"
    "SELECT epoch,(SELECT id FROM walk WHERE n=$2::int4) AS id FROM store WHERE store.id=1"
)
"""What the path comes to whose hashed pairs are $1, $2 of them."""

MAKE_SCOPE = (
    "INSERT INTO scopes(parent,kind,name,created) VALUES($1,$2,$3,$4) ON CONFLICT(parent,place) DO NOTHING RETURNING id"
)
"""Make a scope; no row comes back when somebody else has just made it."""


# --- put --------------------------------------------------------------------------------------------------------------


def _next(guard: str = "true") -> str:
    """The next version of key $2 in scope $1; NULL when the epoch is not $3. The locks come first, whatever is made of
    the rest: CASE has an order."""
    return (
        "CASE WHEN pg_advisory_xact_lock_shared(1213156420,'store'::regclass::oid::int8::bit(32)::int4) IS NOT NULL "
        "THEN CASE WHEN pg_advisory_xact_lock(hashtextextended($2,$1)) IS NOT NULL "
        f"THEN CASE WHEN epoch()=$3 AND {guard} THEN nextval('versions') END END END"
    )


_REPLACED = (
    "version=excluded.version,flags=excluded.flags,created={created},"
    "updated=excluded.updated,expires=excluded.expires,"
    "tags=excluded.tags,{session}algorithm=excluded.algorithm,digest=excluded.digest,"
    "size=excluded.size,codec=excluded.codec,config=excluded.config,signature=excluded.signature,"
    "number=excluded.number,data=excluded.data"
)
# created is that of the record replaced, unless that one had expired and so was no longer there.
_CREATED = "CASE WHEN records.expires<=excluded.updated THEN excluded.updated ELSE records.created END"
_SESSION = "session=excluded.session,"
_PUT_OVER = _REPLACED.format(created=_CREATED, session=_SESSION)
_COLUMNS = "expires,tags,algorithm,digest,size,codec,config,signature,number,data"

_PUT = (
    f"INSERT INTO records(scope,key,tier,version,created,updated,flags,{_COLUMNS}{{columns}})"
    "SELECT $1,$2,{tier},v.version,v.now,v.now,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14{values} "
    f"FROM (SELECT {_next()} AS version,{CLOCK} AS now) v WHERE v.version IS NOT NULL "
    "ON CONFLICT(scope,key,tier) DO UPDATE SET {over} WHERE records.blob IS NULL "
    "RETURNING version,created,updated"
)
PUT_ENDING = _PUT.format(columns=",session", tier=1, values=",$15", over=_PUT_OVER)
"""Put an inline value that ends with session $15, as PUT."""

# A durable row has no session.
PUT = _PUT.format(columns="", tier=0, values="", over=_REPLACED.format(created=_CREATED, session=""))
"""Put an inline durable value. It does not name blob, so no trigger is called; a record with a blob is left as it is
(no row comes back) for PUT_FULL."""

_SET = ",".join(f"{name}=${number}" for number, name in enumerate(_COLUMNS.split(","), 5))
REPLACE_AT = (
    f"UPDATE records SET version=v.version,updated=v.now,flags=$4,{_SET} "
    f"FROM (SELECT {_next('is_alone($1,$2)')} AS version,{CLOCK} AS now) v "
    "WHERE records.scope=$1 AND key=$2 AND tier=0 AND records.version=$15 AND blob IS NULL "
    "AND(expires IS NULL OR expires>v.now)AND v.version IS NOT NULL RETURNING records.version,created,updated"
)
"""As PUT, over the inline record of version $15. An ephemeral record may be the visible one, so where one is, nothing
is done."""

ADD = (
    "INSERT INTO records(scope,key,tier,version,created,updated,flags,algorithm,size,number,codec)"
    f"SELECT $1,$2,0,v.version,v.now,v.now,$4,0,8,$5,$6 "
    f"FROM (SELECT {_next('is_alone($1,$2)')} AS version,{CLOCK} AS now) v WHERE v.version IS NOT NULL "
    "ON CONFLICT(scope,key,tier) DO UPDATE SET version=excluded.version,flags=excluded.flags,updated=excluded.updated,"
    "number=records.number+excluded.number WHERE records.codec=excluded.codec AND records.number IS NOT NULL "
    "AND records.number BETWEEN CASE WHEN excluded.number<0 THEN -9223372036854775808-excluded.number "
    "ELSE -9223372036854775808 END AND CASE WHEN excluded.number>0 THEN 9223372036854775807-excluded.number "
    "ELSE 9223372036854775807 END AND(records.expires IS NULL OR records.expires>excluded.updated)"
    "RETURNING number,key,tier,version,flags,created,updated,expires,tags,session,algorithm,digest,size,codec,config,"
    "NULL,NULL,NULL"
)
"""Add $5 to a native integer (codec $6) unless the sum leaves 64 bits. An ephemeral record may hide the number, so
where one is, nothing is done."""

_FULL = (
    f"INSERT INTO records(scope,key,tier,version,flags,created,updated,{_COLUMNS},session,blob)"
    "VALUES($1,$2,$3,{version},$4,{created},$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17)"
    "ON CONFLICT(scope,key,tier) DO UPDATE SET {over},blob=excluded.blob RETURNING version,created"
)
PUT_FULL = _FULL.format(version="nextval('versions')", created="$5", over=_PUT_OVER)
"""Put any value in tier $3, by who holds its key; the reference to its blob was taken before."""

RESTORE = _FULL.format(
    version="$18", created="$19", over=_REPLACED.format(created="excluded.created", session=_SESSION)
)
"""The same under version $18, which the sequence is above already, made at $19."""

WRITE_PAST = (
    f"INSERT INTO past(scope,key,tier,version,flags,created,updated,{_COLUMNS},session,blob)"
    "VALUES($1,$2,$3,$18,$4,$19,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17)"
)
"""Keep a version; the values are those of RESTORE."""

EXPIRED = (
    "DELETE FROM records r USING (SELECT scope,key,tier FROM records WHERE expires<=$1 "
    "AND($3::int8 IS NULL OR scope=$3) AND pg_try_advisory_xact_lock(hashtextextended(key,scope)) ORDER BY expires "
    "LIMIT $2 FOR UPDATE SKIP LOCKED) o WHERE r.scope=o.scope AND r.key=o.key AND r.tier=o.tier RETURNING r.scope,size"
)
"""Remove up to $2 records that are expired at $1, of scope $3 or of all. Whoever holds the key may have seen the record
before it expired, and counts on its being there."""

EDIT = (
    "UPDATE records SET version=nextval('versions'),flags=$4,updated=$5,expires=$6,tags=$7,codec=$8 "
    "WHERE scope=$1 AND key=$2 AND tier=$3 RETURNING version"
)
"""Change what is not content of a row of tier $3, by who holds its key."""

DELETE = "DELETE FROM records WHERE scope=$1 AND key=$2 AND($3::int2 IS NULL OR tier=$3)"
"""Remove the rows of a key, of tier $3 or of both."""

KEPT = KEPT_COLUMNS + ",number"
"""The columns that a record and a row kept in its place have both."""


# --- listings ---------------------------------------------------------------------------------------------------------

CHILDREN = (
    f"SELECT kind,name,created,properties FROM scopes WHERE parent=$1 AND {CHILD.format('kind', 'name')}>="
    f'{CHILD.format("$2::text", "$3::text")} COLLATE "C" AND (kind,name)>($2,$3) AND ({EPOCH})=$4 '
    f"ORDER BY {CHILD.format('kind', 'name')},kind,name LIMIT $5"
)
"""Children of scope $1 in epoch $4 from behind the one of kind $2 and name $3, at most $5."""

_LIVE = f"(r.expires IS NULL OR r.expires>{_MOMENT})"

# $1 scope, $2 epoch
USAGE = {
    expired: "SELECT count(*),coalesce(sum(size) FILTER (WHERE blob IS NULL),0)::int8,"
    "coalesce(sum(size) FILTER (WHERE blob IS NOT NULL),0)::int8 "
    f"FROM records r WHERE scope=$1 AND {ones} HAVING ({EPOCH})=$2"
    for expired, ones in ((False, _LIVE), (True, f"r.expires<={_MOMENT}"))
}
"""How much the records of a scope hold: the visible ones, or (True) the expired."""


def past_keys_statement(limit: int) -> str:
    """Keys of scope $1 from $2 on and before $5 that have kept versions at $4, in epoch $3."""
    return (
        "SELECT DISTINCT key FROM past r WHERE scope=$1 AND key>=$2 AND($5::text IS NULL OR key<$5)"
        f"AND ({EPOCH})=$3 AND EXISTS(SELECT 1 FROM policies WHERE scope=$1 AND history>0)"
        f"AND(expires IS NULL OR expires>$4) ORDER BY key LIMIT {limit}"
    )


def keys_statement(limit: int, *, bounded: bool) -> str:
    """Keys of scope $1 from $2 on, in epoch $3, to before $4 when ``bounded``; the index alone has all that is asked.

    The limit is part of the text, since with an unknown one the plan may be to sort all.
    """
    end = "AND r.key<$4 " if bounded else ""
    return (
        f"SELECT DISTINCT r.key FROM records r WHERE r.scope=$1 AND r.key>=$2 {end}AND ({EPOCH})=$3 AND {_LIVE} "
        f"ORDER BY r.key LIMIT {limit}"
    )


# Of two tiers the higher version; the other one is next to it in the index. No join: a plan for one that is made while
# no record is ephemeral would look at all of those, for each row.
_HIGHEST = (
    "coalesce((SELECT o.version FROM records o WHERE o.scope=$1 AND o.key=r.key AND o.tier=1-r.tier "
    f"AND {_LIVE.replace('r.', 'o.')}),0)<r.version"
)
# Row by row, whatever the plan expects.
_PLACE = "LEFT JOIN LATERAL (SELECT storage,place,synced FROM blobs WHERE id=r.blob LIMIT 1) b ON true"


def search_statement(column: str, descending: bool, limit: int, *, bounded: bool, after: bool, tagged: bool) -> str:
    """A page of records: $1 scope, $2 start, $3 epoch; then, each only where it is asked for, the end, where the page
    before ended (value and key; in the order of keys start or end say that), and tags as JSON."""
    way, beyond = ("DESC", "<") if descending else ("ASC", ">")
    where, used = "r.scope=$1 AND r.key>=$2 ", 3
    order = f"r.key {way}" if column == "key" else f"r.{column} {way},r.key"
    if bounded:
        used += 1
        where += f"AND r.key<${used} "
    if after:
        used += 2
        where += f"AND(r.{column}{beyond}${used - 1} OR r.{column}=${used - 1} AND r.key>${used})"
    if tagged:
        where += f"AND r.tags IS NOT NULL AND labels(r.tags)@>labels(${used + 1})"
    return (
        f"SELECT {RECORD_COLUMNS} FROM records r {_PLACE} WHERE {where} AND {_LIVE} AND ({EPOCH})=$3 AND {_HIGHEST} "
        f"ORDER BY {order} LIMIT {limit}"
    )
