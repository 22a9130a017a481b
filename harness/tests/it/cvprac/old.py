"""The oldest API of change controls with Arista's client: it has no calls for it any more, so they are made by hand.

Takes and prints what `session.py` does.
"""

import json
import sys
import time
from urllib.parse import urlparse

from cvprac.cvp_client import CvpClient
from cvprac.cvp_client_errors import CvpApiError

PORTAL = json.loads(sys.argv[1])
CLIENT = CvpClient()
CLIENT.connect([urlparse(PORTAL["url"]).hostname], PORTAL["username"], PORTAL["password"],
               port=urlparse(PORTAL["url"]).port, cert=PORTAL["ca_file"])
API = CLIENT.api


def wait(what, until, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = until()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come in {seconds} s")


def information(cc_id):
    return CLIENT.get(f"/changeControl/getChangeControlInformation.do?startIndex=0&endIndex=0&ccId={cc_id}")


def create(tasks, **more):
    body = {
        "timeZone": "Europe/Paris", "countryId": "France", "dateTime": "", "ccName": "window", "type": "Custom",
        "snapshotTemplateKey": "None", "stopOnError": "true", "deletedTaskIds": [],
        "changeControlTasks": [
            {"taskId": task, "taskOrder": order, "snapshotTemplateKey": "", "clonedCcId": ""} for order, task in tasks],
    }
    answer = CLIENT.post("/changeControl/addOrUpdateChangeControl.do", data=body | more)
    assert answer["data"] == "success", answer
    return answer["ccId"]


def level_and_inventory():
    assert API.get_cvp_info()["version"] == "2018.1.4" and CLIENT.apiversion == 1.0
    rows = CLIENT.get("/inventory/getInventory.do?queryparam=&startIndex=0&endIndex=0")
    assert rows["total"] == 4 and rows["netElementList"][0]["containerName"] == "Demo"
    assert API.get_device_by_name("leaf-1")["fqdn"] == "leaf-1"
    try:
        CLIENT.get("/no/such.do")
    except CvpApiError as error:
        assert "endpoint" in str(error)
    else:
        raise AssertionError("an unknown place is no error")


def change_controls_run_in_order():
    key = API.add_configlet("old", "vlan 50\n")
    devices = [API.get_device_by_name(f"leaf-{n}") for n in (1, 2)]
    tasks = [API.apply_configlets_to_device("old", dev, [{"name": "old", "key": key}])["data"]["taskIds"][0]
             for dev in devices]
    free = CLIENT.get("/changeControl/getTasksByStatus.do?searchText=&startIndex=0&endIndex=0")
    assert {row["workOrderId"] for row in free["data"]} == set(tasks), free
    cc_id = create(list(enumerate(tasks, 1)))
    free = CLIENT.get("/changeControl/getTasksByStatus.do?searchText=&startIndex=0&endIndex=0")
    assert free == {"total": 0, "data": []}, free
    assert API.get_task_by_id(tasks[0])["ccId"] == cc_id
    found = information(cc_id)
    assert (found["status"], found["taskCount"], found["countryId"]) == ("Pending", 2, "France"), found
    assert [row["taskOrder"] for row in found["changeControlTasks"]["data"]] == [1, 2]
    CLIENT.post("/changeControl/addNotesToChangeControl.do", data={"ccId": cc_id, "notes": "mind the gap"})
    CLIENT.post("/changeControl/executeCC.do", data={"ccIds": [{"ccId": cc_id}]})
    found = wait("the end", lambda: (f := information(cc_id))["status"] in ("Completed", "Failed") and f)
    assert found["status"] == "Completed" and found["notes"] == "mind the gap", found
    times = [API.get_task_by_id(task) for task in tasks]
    assert times[0]["completedOnInLongFormat"] < times[1]["executedOnInLongFormat"], "one after another"
    listed = CLIENT.get("/changeControl/getChangeControls.do?searchText=wind&startIndex=0&endIndex=0")
    assert listed["total"] == 1 and listed["data"][0]["ccId"] == cc_id
    CLIENT.post("/changeControl/deleteChangeControls.do", data={"ccIds": [cc_id]})
    try:
        information(cc_id)
    except CvpApiError as error:
        assert "No data found" in str(error)
    else:
        raise AssertionError("it is gone and yet there")


def change_controls_wait_and_are_cancelled():
    key = API.get_configlet_by_name("old")["key"]
    dev = API.get_device_by_name("leaf-3")
    task = API.apply_configlets_to_device("old", dev, [{"name": "old", "key": key}])["data"]["taskIds"][0]
    cc_id = create([(1, task)], dateTime="2035-05-04 03:30")
    found = information(cc_id)
    assert found["scheduledBy"] == "cvpadmin" and found["dateTime"] == "2035-05-04 03:30", found
    # Half past three in Paris, in summer.
    assert found["scheduledTimestamp"] == 2_061_855_000_000, found["scheduledTimestamp"]
    CLIENT.post("/changeControl/cancelChangeControl.do", data={"ccIds": [cc_id]})
    assert information(cc_id)["status"] == "Cancelled"
    for body in ({"dateTime": "2001-01-01 00:00"}, {"dateTime": "soon"}, {"dateTime": "2035-01-01 00:00", "timeZone": "Mars"}):
        try:
            create([(1, task)], **body)
        except CvpApiError:
            pass
        else:
            raise AssertionError(f"{body} was taken")
    API.execute_task(task)
    wait("the task", lambda: API.get_task_by_id(task)["workOrderUserDefinedStatus"] == "Completed")
    assert API.get_task_by_id(task)["ccIdV2"] == "", "this version makes no change control for it"


failures = 0
for check in (level_and_inventory, change_controls_run_in_order, change_controls_wait_and_are_cancelled):
    try:
        check()
        print("ok", check.__name__, flush=True)
    except Exception as error:  # pylint: disable=broad-except
        failures += 1
        at = error.__traceback__.tb_next.tb_lineno
        print(f"FAILED {check.__name__}: line {at}: {type(error).__name__}: {error}".replace("\n", " "), flush=True)
sys.exit(1 if failures else 0)
