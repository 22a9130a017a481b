"""Configlets on devices and containers, and the tasks of it."""

import json

from cvprac.cvp_client_errors import CvpApiError
from judge import (
    API, CLIENT, apply, check, configlet, connected, device, done, execute, name, put_away, raises, remove,
)


@check
def configlets_are_applied_and_removed():
    dev, one, two = device(), configlet("vlan 10\n"), configlet("interface Ethernet3\n   mtu 9000\n")
    mac = dev["systemMacAddress"]
    tasks = apply(dev, one, two)
    assert len(tasks) == 1
    task = API.get_task_by_id(tasks[0])
    assert "judge" in task["description"] and task["workOrderUserDefinedStatus"] == "Pending"
    assert task["workOrderDetails"]["netElementId"] == mac and task["ccIdV2"] == ""
    assert "vlan 10" not in API.get_device_configuration(mac), "nothing runs before the task does"
    assert API.check_compliance(mac, "netelement")["complianceCode"] == "0001"
    execute(*tasks)
    running = API.get_device_configuration(mac)
    assert "vlan 10" in running and "mtu 9000" in running and "hostname leaf-1" in running
    answer = API.check_compliance(mac, "netelement")
    assert answer["complianceCode"] == "0000" and answer["complianceIndication"] in ("", "NONE"), answer
    put_away(dev, one, two)
    assert "vlan 10" not in API.get_device_configuration(mac)


@check
def order_is_what_was_sent():
    dev, one, two = device(), configlet("vlan 11\n"), configlet("vlan 12\n")
    apply(dev, one, two)
    tasks = apply(dev, two, one, reorder_configlets=True)
    assert len(tasks) == 1
    held = API.get_configlets_by_netelement_id(dev["systemMacAddress"])["configletList"]
    assert [row["key"] for row in held] == [two["key"], one["key"]]
    execute(*tasks)
    running = API.get_device_configuration(dev["systemMacAddress"])
    assert running.index("vlan 12") < running.index("vlan 11")
    put_away(dev, one, two)


@check
def applying_again_makes_a_task_and_no_double():
    dev, one = device(), configlet("vlan 13\n")
    execute(*apply(dev, one))
    tasks = apply(dev, one)
    assert len(tasks) == 1
    held = API.get_configlets_by_device_id(dev["systemMacAddress"])
    assert [row["key"] for row in held] == [one["key"]]
    execute(*tasks)
    put_away(dev, one)


@check
def changing_a_configlet_in_use_makes_tasks():
    dev, one = device(), configlet("vlan 14\n")
    execute(*apply(dev, one))
    answer = API.update_configlet("vlan 15\n", one["key"], one["name"], wait_task_ids=True)
    assert len(answer["taskIds"]) == 1, answer
    execute(*answer["taskIds"])
    running = API.get_device_configuration(dev["systemMacAddress"])
    assert "vlan 15" in running and "vlan 14" not in running
    put_away(dev, one)


@check
def configlets_on_containers_reach_devices_below():
    demo, one = API.get_container_by_name("Demo"), configlet("vlan 16\n")
    tasks = API.apply_configlets_to_container("judge", demo, [one])["data"]["taskIds"]
    assert len(tasks) == 4 and tasks == sorted(tasks, key=int)
    execute(*tasks)
    found = API.get_configlet_by_name(one["name"])
    assert (found["containerCount"], found["netElementCount"]) == (1, 4), found
    held = API.get_configlets_by_netelement_id(device(1)["systemMacAddress"])
    assert held["configletMapper"][one["key"]]["type"] == "container", held["configletMapper"]
    assert API.get_configlets_by_container_id(demo["key"])["configletList"][0]["key"] == one["key"]
    assert [row["containerName"] for row in API.get_applied_containers(one["name"])["data"]] == ["Demo"]
    execute(*API.remove_configlets_from_container("judge", demo, [one])["data"]["taskIds"])
    assert "vlan 16" not in API.get_device_configuration(device(1)["systemMacAddress"])
    API.delete_configlet(one["name"], one["key"])


@check
def actions_wait_in_the_session_until_saved():
    other = connected()
    dev, one = device(), configlet("vlan 17\n")
    API.apply_configlets_to_device("judge", dev, [one], create_task=False)
    rows = API.get_all_temp_actions()
    assert rows["total"] == 1 and rows["data"][0]["configletList"] == [one["key"]], rows
    assert rows["data"][0]["info"].startswith("judge") and "sessionId" in rows["data"][0]
    assert other.api.get_all_temp_actions()["total"] == 0, "nobody else sees them"
    CLIENT.post("//provisioning/deleteAllTempAction.do")
    assert API.get_all_temp_actions() == {"total": 0, "data": []}
    box = name("box")
    API.add_container(box, "Tenant", "root")
    to = API.get_container_by_name("Demo")
    API.apply_configlets_to_container("judge", to, [one], create_task=False)
    rows = API.get_all_temp_actions()
    assert rows["total"] == 5 and sum(row["viaContainer"] for row in rows["data"]) == 4, rows
    CLIENT.post("/provisioning/deleteAllTempAction.do")
    made = API.get_container_by_name(box)
    API.delete_container(box, made["key"], "Tenant", "root")
    API.delete_configlet(one["name"], one["key"])


@check
def save_takes_actions_of_its_own():
    dev, one = device(), configlet("vlan 18\n")
    action = {
        "info": "judge: at once", "action": "associate", "nodeType": "configlet", "nodeId": "", "toId": dev["key"],
        "toIdType": "netelement", "fromId": "", "nodeName": "", "fromName": "", "toName": dev["fqdn"],
        "configletList": [one["key"]], "configletNamesList": [one["name"]], "ignoreConfigletList": [],
    }
    body = [{"NetworkRollbackTask": False, "taskJson": json.dumps([action])}]
    tasks = CLIENT.post("/provisioning/v2/saveTopology.do", data=body)["data"]["taskIds"]
    assert len(tasks) == 1
    execute(*tasks)
    put_away(dev, one)


@check
def what_cannot_be_applied_changes_nothing():
    dev = device()
    absent = {"name": "absent", "key": "configlet_absent"}
    raises(CvpApiError, "Entity does not exist", API.apply_configlets_to_device, "judge", dev, [absent])
    assert API.get_all_temp_actions()["total"] == 0
    nowhere = dict(dev, systemMacAddress="00:00:00:00:00:00")
    raises(CvpApiError, "Entity does not exist", API.apply_configlets_to_device, "judge", nowhere, [])
    assert CLIENT.post("/provisioning/v2/saveTopology.do", data=[])["data"]["taskIds"] == []




@check
def tasks_are_listed_newest_first():
    dev, one = device(), configlet("vlan 20\n")
    first, second = apply(dev, one)[0], apply(dev, one)[0]
    assert int(second) == int(first) + 1
    tasks = API.get_tasks(0, 2)
    assert [task["workOrderId"] for task in tasks["data"]] == [second, first] and tasks["total"] >= 2
    for word in ("Pending", "PENDING"):
        ids = [task["workOrderId"] for task in API.get_tasks_by_status(word)]
        assert first in ids and second in ids
    assert API.get_tasks_by_status("Nonsense") == []
    assert API.get_task_by_id(999_999) is None and API.get_task_by_id("x") is None
    assert API.get_task_by_id(int(first))["workOrderId"] == first, "numbers are ids, too"
    for task in (first, second):
        API.add_note_to_task(task, "mine")
        assert API.get_task_by_id(task)["note"] == "mine"
        API.cancel_task(task)
        done(task, "Cancelled")
    execute(*remove(dev, one))
    API.delete_configlet(one["name"], one["key"])


@check
def cancelling_leaves_what_is_assigned():
    dev, one = device(), configlet("vlan 21\n")
    task = apply(dev, one)[0]
    API.cancel_task(task)
    cancelled = done(task, "Cancelled")
    assert (cancelled["currentTaskName"], cancelled["workOrderState"]) == ("Cancelled", "ACTIVE")
    mac = dev["systemMacAddress"]
    assert [row["key"] for row in API.get_configlets_by_device_id(mac)] == [one["key"]]
    assert API.check_compliance(mac, "netelement")["complianceCode"] == "0001"
    raises(CvpApiError, "task status", API.execute_task, task)
    put_away(dev, one)


@check
def tasks_run_in_a_change_control_of_their_own():
    dev, one = device(), configlet("vlan 22\n")
    task = execute(*apply(dev, one))[0]
    assert task["taskStatus"] == "COMPLETED" and task["ccIdV2"].startswith("CC_Task_") and task["stageId"]
    found = API.change_control_get_one(task["ccIdV2"])["value"]
    assert found["status"] == "CHANGE_CONTROL_STATUS_COMPLETED" and "error" not in found, found
    logs = API.get_logs_by_id(task["workOrderId"])
    assert logs["total"] > 0 and logs["data"][0]["activity"], logs
    old = CLIENT.get(f"/task/getLogsById.do?id={task['workOrderId']}&queryparam=&startIndex=0&endIndex=0")
    assert old["total"] >= 2 and old["data"][0]["logDetails"], old
    raises(CvpApiError, "task status", API.execute_task, task["workOrderId"])
    put_away(dev, one)


@check
def a_task_fails_with_what_the_device_refuses():
    dev, bad = device(), configlet("typocommand 7\n")
    task = apply(dev, bad)[0]
    errors = [row["error"] for row in API.get_config_diff_for_task(task) if "error" in row]
    assert errors and errors[0]["error_code"] == "DEVICEERROR", errors
    API.execute_task(task)
    failed = done(task, "Failed")
    assert failed["taskStatus"] == "FAILED" and "typocommand" in failed["note"], failed["note"]
    API.update_configlet("vlan 23\n", bad["key"], bad["name"])
    execute(task)
    put_away(dev, bad)
