"""Functions of flows: HTTP services and local commands, in any language.

A function finds variables as files in its temporary directory, and leaves files and directories in ``out/`` there that
become variables; while it runs, it reads and writes them at ``/var``, too. :class:`Functions` says which there are.

=====================  =============================================  ==================================================
what                   a service                                      a command
=====================  =============================================  ==================================================
its input, JSON        body of a ``POST``                             standard input
its call               headers ``Direktiv-ActionID``, ``-TempDir``,   ``DIREKTIV_ACTIONID``, ``DIREKTIV_TEMPDIR``,
                       ``-Iterator``, ``-Var-URL``, ``-Log-URL``      ``DIREKTIV_ITERATOR``, ``DIREKTIV_VAR_URL``,
                                                                      ``DIREKTIV_LOG_URL``
its result             body of the answer                             standard output
an error of its own    headers ``Direktiv-ErrorCode``,                the file that ``DIREKTIV_ERROR_FILE`` names: the
                       ``Direktiv-ErrorMessage``                      code, and from the second line on a message
another error          a status that is not 2xx                       an exit status above 0
its log                ``POST`` to ``/log``                           standard error, too
it is cancelled by     a ``DELETE`` of the same URL                   SIGTERM to its process group, and 2 seconds later
                                                                      SIGKILL
=====================  =============================================  ==================================================

A service sees the directory under the same path, so it runs on this machine, as the same user.
"""

from __future__ import annotations

from .caller import Functions
from .configured import configured

__all__ = ["Functions", "configured"]
