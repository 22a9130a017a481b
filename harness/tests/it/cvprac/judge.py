"""What all checks have: the portal, a client that is logged in, and words for what is done all the time."""

import json
import sys
import time
import uuid
from urllib.parse import urlparse

import urllib3
from cvprac.cvp_client import CvpClient

urllib3.disable_warnings()
PORTAL = json.loads(sys.argv[1])
HOST, PORT = urlparse(PORTAL["url"]).hostname, urlparse(PORTAL["url"]).port
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def connected(user=None, password=None, **more):
    client = CvpClient()
    more.setdefault("cert", PORTAL["ca_file"])
    client.connect([HOST], user or PORTAL["username"], password or PORTAL["password"], port=PORT, **more)
    return client


def raises(kind, text, call, *args, **named):
    try:
        call(*args, **named)
    except kind as error:
        assert text in str(error), f"{text!r} is not in {error}"
        return error
    raise AssertionError(f"nothing was raised, {kind.__name__} with {text!r} was to be")


def wait(what, until, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = until()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come in {seconds} s")


def name(what):
    return f"{what} {uuid.uuid4().hex[:8]}"


CLIENT = connected()
API = CLIENT.api


def device(index=0):
    found = API.get_device_by_name(f"leaf-{index + 1}")
    assert found, f"leaf-{index + 1} is not there"
    return found


def configlet(config="vlan 7\n", called=None):
    called = called or name("configlet")
    key = API.add_configlet(called, config)
    return {"name": called, "key": key}


def done(task_id, status="Completed"):
    def over():
        task = API.get_task_by_id(task_id)
        word = task["workOrderUserDefinedStatus"]
        return task if word in ("Completed", "Failed", "Cancelled") else None

    task = wait(f"the end of task {task_id}", over)
    assert task["workOrderUserDefinedStatus"] == status, task["workOrderUserDefinedStatus"] + ": " + task["note"]
    return task


def apply(dev, *configlets, **named):
    answer = API.apply_configlets_to_device("judge", dev, list(configlets), **named)
    assert answer["data"]["status"] == "success", answer
    return answer["data"]["taskIds"]


def remove(dev, *configlets):
    return API.remove_configlets_from_device("judge", dev, list(configlets))["data"]["taskIds"]


def execute(*tasks):
    for task in tasks:
        API.execute_task(task)
    return [done(task) for task in tasks]


def put_away(dev, *configlets):
    execute(*remove(dev, *configlets))
    for one in configlets:
        API.delete_configlet(one["name"], one["key"])


def run():
    """Runs all checks, or those that are named; one line each."""
    failures, chosen = 0, sys.argv[2:]
    for function in CHECKS:
        if chosen and function.__name__ not in chosen:
            continue
        try:
            function()
            print("ok", function.__name__, flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failures += 1
            line = error.__traceback__.tb_next.tb_lineno
            text = f"line {line}: {type(error).__name__}: {error}".replace("\n", " ")[:700]
            print(f"FAILED {function.__name__}: {text}", flush=True)
            try:
                CLIENT.post("/provisioning/deleteAllTempAction.do")
            except Exception:  # pylint: disable=broad-except
                pass
    sys.exit(1 if failures else 0)
