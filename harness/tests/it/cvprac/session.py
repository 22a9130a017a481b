"""A broad session of Arista's own client with the embedded portal: named checks, one line each.

Takes one argument, the JSON line of `polder cvp serve`. Prints `ok NAME` or `FAILED NAME: why` for every check, and
ends with status 0 only if none failed. Whatever the client wants is what counts.
"""

# In the order in which they are run.
import access  # pylint: disable=unused-import
import inventory  # pylint: disable=unused-import
import configlets  # pylint: disable=unused-import
import applying  # pylint: disable=unused-import
import changes  # pylint: disable=unused-import
import others  # pylint: disable=unused-import
from judge import run

run()
