"""The columns of rows as they cross the contract."""

from __future__ import annotations

__all__ = ["BLOB_COLUMNS", "KEPT_COLUMNS", "MEMBERS", "RECORD_COLUMNS", "VALUE_COLUMNS"]

RECORD_COLUMNS = (
    "r.key,r.tier,r.version,r.flags,r.created,r.updated,r.expires,r.tags,r.session,"
    "r.algorithm,r.digest,r.size,r.codec,r.config,b.storage,b.place,b.synced"
)
"""Those of a :class:`~holdfast.model.RecordRow`, of ``records r`` and ``blobs b``."""

VALUE_COLUMNS = (
    "tier,version,expires,algorithm,digest,size,codec,config,signature,data,blob,"
    "storage,place,synced,boot,device,inode,mtime,ctime"
)
"""Those of a :class:`~holdfast.catalog.base.ValueRow`."""

BLOB_COLUMNS = "id,storage,place,algo,hash,bytes"
"""Those of a :class:`~holdfast.catalog.base.Blob`."""

MEMBERS = (
    "SELECT m.n,b.algo,b.hash,b.bytes,b.id,b.storage,b.place,b.synced,b.boot,b.device,b.inode,b.mtime,b.ctime "
    "FROM members m JOIN blobs b ON b.id=m.blob WHERE m.bundle=?1 ORDER BY m.n"
)
"""Statement for the :class:`~holdfast.catalog.base.MemberRow` tuples of the bundle ?1."""

KEPT_COLUMNS = (
    "version,flags,created,updated,expires,tags,session,algorithm,digest,size,codec,config,signature,blob,data"
)
"""Those that a record and a row kept in its place have both."""
