"""The oldest API of change controls with Arista's client: it has no calls for it any more, so they are made by hand.

Takes and prints what `session.py` does.
"""

from cvprac.cvp_client_errors import CvpApiError
from judge import API, CLIENT, check, device, done, raises, run, wait


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


@check
def level_and_inventory():
    assert API.get_cvp_info()["version"] == "2018.1.4" and CLIENT.apiversion == 1.0
    rows = CLIENT.get("/inventory/getInventory.do?queryparam=&startIndex=0&endIndex=0")
    assert rows["total"] == 4 and rows["netElementList"][0]["containerName"] == "Demo"
    assert API.get_device_by_name("leaf-1")["fqdn"] == "leaf-1"
    raises(CvpApiError, "endpoint", CLIENT.get, "/no/such.do")


@check
def change_controls_run_in_order():
    key = API.add_configlet("old", "vlan 50\n")
    tasks = [API.apply_configlets_to_device("old", device(n), [{"name": "old", "key": key}])["data"]["taskIds"][0]
             for n in (0, 1)]
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
    raises(CvpApiError, "No data found", information, cc_id)


@check
def change_controls_wait_and_are_cancelled():
    key = API.get_configlet_by_name("old")["key"]
    task = API.apply_configlets_to_device("old", device(2), [{"name": "old", "key": key}])["data"]["taskIds"][0]
    cc_id = create([(1, task)], dateTime="2035-05-04 03:30")
    found = information(cc_id)
    assert found["scheduledBy"] == "cvpadmin" and found["dateTime"] == "2035-05-04 03:30", found
    # Half past three in Paris, in summer.
    assert found["scheduledTimestamp"] == 2_061_855_000_000, found["scheduledTimestamp"]
    CLIENT.post("/changeControl/cancelChangeControl.do", data={"ccIds": [cc_id]})
    assert information(cc_id)["status"] == "Cancelled"
    for body in ({"dateTime": "2001-01-01 00:00"}, {"dateTime": "soon"}, {"dateTime": "2035-01-01 00:00", "timeZone": "Mars"}):
        raises(CvpApiError, "", create, [(1, task)], **body)
    API.execute_task(task)
    assert done(task)["ccIdV2"] == "", "this version makes no change control for it"


run()
