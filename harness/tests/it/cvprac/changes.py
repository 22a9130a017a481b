"""Change controls."""

import time
import uuid

from cvprac.cvp_client_errors import CvpApiError, CvpRequestError
from judge import (
    API, CLIENT, apply, check, configlet, device, done, execute, name, put_away, raises, remove, wait,
)


def change_control(tasks, series=True):
    key = str(uuid.uuid4())
    answer = API.change_control_create_for_tasks(key, name("change"), tasks, series=series)
    assert answer["value"]["key"]["id"] == key
    return key


def finished(key):
    def over():
        found = API.change_control_get_one(key)["value"]
        return found if found.get("status") == "CHANGE_CONTROL_STATUS_COMPLETED" else None

    return wait(f"the end of change control {key}", over)


@check
def change_controls_run_tasks():
    devices, one = [device(n) for n in range(3)], configlet("vlan 30\n")
    for series in (True, False):
        tasks = [apply(dev, one)[0] for dev in devices]
        key = change_control(tasks, series)
        found = API.change_control_get_one(key)["value"]
        assert "approve" not in found and found.get("status") in (None, "CHANGE_CONTROL_STATUS_UNSPECIFIED")
        assert len(found["deviceIds"]["values"]) == 3, found["deviceIds"]
        assert API.change_control_approval_get_one(key) is None
        raises(CvpRequestError, "approval", API.change_control_start, key, "too early")
        approved = API.change_control_approve(key, notes="fine")
        assert approved["value"]["approve"]["value"] is True
        assert API.change_control_approval_get_one(key)["value"]["approve"]["notes"] == "fine"
        started = API.change_control_start(key, notes="go")
        assert started["value"]["start"] == {"value": True, "notes": "go"}, started
        over = finished(key)
        assert "error" not in over, over
        for stage in over["change"]["stages"]["values"].values():
            assert stage["status"] == "STAGE_STATUS_COMPLETED", stage
        for task in tasks:
            assert done(task)["ccIdV2"] == key
        assert API.change_control_delete(key)["key"]["id"] == key
        assert API.change_control_get_one(key) is None
    for dev in devices:
        execute(*remove(dev, one))
    API.delete_configlet(one["name"], one["key"])


@check
def change_controls_have_stages_of_all_kinds():
    dev, one = device(), configlet("vlan 31\n")
    template = CLIENT.post("/snapshot/templates/schedule?", data={
        "name": name("template"), "commands": ["show version"], "deviceList": [dev["serialNumber"]],
        "frequency": "3600"})
    assert template["status"] == "success"
    task = apply(dev, one)[0]
    key = str(uuid.uuid4())

    def action(what, **args):
        return {"name": what, "action": {"name": what, "timeout": 300, "args": {"values": args}}}

    serial, snap = dev["serialNumber"], template["templateKey"]
    stages = {
        "root": {"name": "root", "rows": {"values": [
            {"values": ["before"]}, {"values": ["middle"]}, {"values": ["after", "health"]}]}},
        "middle": {"name": "middle", "rows": {"values": [{"values": ["task"]}]}},
        "before": action("snapshot", DeviceID=serial, TemplateID=snap),
        "after": action("snapshot", DeviceID=serial, TemplateID=snap),
        "health": action("mlaghealthcheck", DeviceID=serial),
        "task": action("task", TaskID=task),
    }
    custom = {"key": {"id": key}, "change": {
        "name": name("custom"), "notes": "n", "rootStageId": "root", "stages": {"values": stages}}}
    API.change_control_create_with_custom_stages(custom)
    API.change_control_approve(key)
    API.change_control_start(key)
    over = finished(key)
    assert "error" not in over, over
    times = {n: s["startTime"] for n, s in over["change"]["stages"]["values"].items()}
    assert times["before"] < times["task"] < times["after"], times
    taken = CLIENT.get(f"/api/v1/rest/cvp/snapshots/status/{serial}/snapshots/ids/{snap}")["notifications"][0]["updates"]
    (output,) = taken[snap]["value"]["Output"]
    assert output["Command"] == "show version" and serial in taken[output["Result"] + "_0"]["value"], taken
    keys = [row["key"] for row in CLIENT.get("/snapshot/templates?startIndex=0&endIndex=0")["templateKeys"]]
    assert snap in keys
    assert CLIENT.delete("/snapshot/templates?", data=[snap]) == {"result": "Success"}
    API.change_control_delete(key)
    put_away(dev, one)


@check
def a_stage_that_fails_stops_the_rows_after_it():
    dev, bad, one = device(), configlet("typocommand 9\n"), configlet("vlan 32\n")
    first, second = apply(dev, bad)[0], apply(device(1), one)[0]
    key = change_control([first, second])
    answer = raises(CvpApiError, "configuration errors", API.change_control_approve, key)
    assert key in str(answer)
    found = API.change_control_get_one(key)["value"]
    CLIENT.post("/api/resources/changecontrol/v1/ApproveConfig", data={
        "key": {"id": key}, "approve": {"value": True}, "version": found["change"]["time"]})
    API.change_control_start(key)
    over = finished(key)
    assert "typocommand" in over["error"], over["error"]
    done(first, "Failed")
    assert API.get_task_by_id(second)["workOrderUserDefinedStatus"] == "Pending"
    API.change_control_delete(key)
    put_away(dev, bad)
    put_away(device(1), one)


@check
def approvals_are_for_one_version():
    task = apply(device(), one := configlet("vlan 33\n"))[0]
    key = change_control([task])
    old = API.change_control_get_one(key)["value"]["change"]["time"]
    API.change_control_approve(key)
    API.change_control_create_for_tasks(key, "another name", [task])
    found = API.change_control_get_one(key)["value"]
    assert found["change"]["time"] != old and "approve" not in found, found
    url = "/api/resources/changecontrol/v1/ApproveConfig"
    stale = {"key": {"id": key}, "approve": {"value": True}, "version": old}
    raises(CvpRequestError, "version", CLIENT.post, url, data=stale)
    API.change_control_approve(key)
    API.change_control_approve(key, approve=False)
    raises(CvpRequestError, "approval", API.change_control_start, key)
    API.change_control_delete(key)
    API.cancel_task(task)
    put_away(device(), one)


@check
def change_controls_stop_and_are_scheduled():
    task = apply(device(), one := configlet("vlan 34\n"))[0]
    key = change_control([task])
    API.change_control_approve(key)
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    answer = API.change_control_schedule(key, soon, notes="later")
    assert answer["value"]["schedule"]["value"] == soon
    assert API.change_control_get_one(key)["value"]["status"] == "CHANGE_CONTROL_STATUS_SCHEDULED"
    finished(key)
    done(task)
    stopped = API.change_control_stop(key, notes="enough")
    assert stopped["value"]["start"] == {"value": False, "notes": "enough"}, stopped
    API.change_control_delete(key)
    put_away(device(), one)


@check
def change_controls_that_cannot_be():
    absent, url = str(uuid.uuid4()), "/api/resources/changecontrol/v1/ChangeControlConfig"
    assert API.change_control_get_one(absent) is None and API.change_control_approve(absent) is None
    raises(CvpRequestError, "does not exist", API.change_control_start, absent)
    raises(CvpRequestError, "does not exist", API.change_control_delete, absent)
    raises(CvpRequestError, "", CLIENT.post, url, data=None)
    raises(CvpRequestError, "", CLIENT.post, url, data={"change": {"name": "x"}})
    raises(CvpRequestError, "", API.change_control_create_for_tasks, absent, "x", [["17"]])
    key = change_control(["999999"])
    API.change_control_approve(key)
    API.change_control_start(key)
    assert "999999" in finished(key)["error"]
    API.change_control_delete(key)


@check
def streams_of_none_one_and_several():
    before = len(API.change_control_get_all()["data"])
    keys = [change_control(["999999"]) for _ in range(2)]
    for count, key in enumerate(keys, 1):
        API.change_control_approve(key)
    rows = API.change_control_get_all()["data"]
    assert len(rows) == before + 2 and all(row["result"]["type"] == "INITIAL" for row in rows)
    approvals = {row["result"]["value"]["key"]["id"] for row in API.change_control_approval_get_all()["data"]}
    assert set(keys) <= approvals
    url = "/api/resources/changecontrol/v1/ChangeControl/all"
    one = CLIENT.post(url, data={"partialEqFilter": [{"key": {"id": keys[0]}}]})
    assert [row["result"]["value"]["key"]["id"] for row in one["data"]] == [keys[0]], one
    assert CLIENT.post(url, data={"partialEqFilter": [{"key": {"id": "absent"}}]})["data"] == []
    for key in keys:
        API.change_control_delete(key)


@check
def change_controls_over_the_service_api():
    dev, one = device(), configlet("vlan 35\n")
    task, key, url = apply(dev, one)[0], str(uuid.uuid4()), "/api/v3/services/ccapi.ChangeControl/"
    stage = {"id": "stage0", "action": {"name": "task", "args": {"TaskID": task}}}
    config = {"id": key, "name": name("ccapi"), "root_stage": {"id": "root", "stage_row": [{"stage": [stage]}]}}
    made = CLIENT.post(url + "Update", data={"config": config})
    assert made[0]["id"] == key and made[0]["update_timestamp"]
    raises(CvpRequestError, "approval", CLIENT.post, url + "Start", data={"cc_id": key})
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    CLIENT.post(url + "AddApproval", data={"cc_id": key, "cc_timestamp": now})
    CLIENT.post(url + "DeleteApproval", data={"cc_id": key})
    CLIENT.post(url + "AddApproval", data={"cc_id": key, "cc_timestamp": now})
    CLIENT.post(url + "Start", data={"cc_id": key})

    def over():
        status = CLIENT.post(url + "GetStatus", data={"cc_id": key})[0]["status"]
        return status if status["state"] == "Completed" else None

    status = wait("the end over the service API", over)
    assert status["error"] == "" and status["stages"]["stage0"]["state"] == "Completed", status
    done(task)
    CLIENT.post(url + "Delete", data={"cc_id": key})
    put_away(dev, one)
