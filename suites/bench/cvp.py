"""The plain side of the benchmark `cvp`: Arista's own client, unmodified, one client for each thread as it wants it.

Takes the JSON line of the portal, how many configlets there are, and how many threads; prints a figure for each step.
"""

import json
import sys
import threading
import time
from urllib.parse import urlparse

from cvprac.cvp_client import CvpClient

PORTAL, COUNT, THREADS, LISTS = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
TEXT = sys.argv[5]


def connected():
    client = CvpClient()
    url = urlparse(PORTAL["url"])
    client.connect([url.hostname], PORTAL["username"], PORTAL["password"], port=url.port, cert=PORTAL["ca_file"])
    # Once per client: not what is measured.
    client.api.get_cvp_info()
    return client.api


APIS = [connected() for _ in range(THREADS)]
KEYS = {}


def step(name, what, work):
    """Has the threads share the work, and prints how long all of it took."""
    begin, failed = time.monotonic(), []

    def share(thread):
        try:
            for one in work[thread::THREADS]:
                what(APIS[thread], one)
        except Exception as error:  # pylint: disable=broad-except
            failed.append(error)

    threads = [threading.Thread(target=share, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    print(json.dumps({"name": f"{name}, {THREADS} at once", "side": "plain", "seconds": time.monotonic() - begin}))


def create(api, name):
    KEYS[name] = api.add_configlet(name, TEXT)


def read(api, name):
    assert api.get_configlet_by_name(name)["config"] == TEXT


def listed(api, _):
    assert len(api.get_configlets()["data"]) == COUNT


def delete(api, name):
    api.delete_configlet(name, KEYS[name])


NAMES = [f"plain-{number}" for number in range(COUNT)]
step("create", create, NAMES)
step("read", read, NAMES)
step("list", listed, list(range(LISTS)))
step("delete", delete, NAMES)
