"""A broad session of Arista's own client with the embedded portal: named checks, one line each.

Takes one argument, the JSON line of `polder cvp serve`. Prints `ok NAME` or `FAILED NAME: why` for every check, and
ends with status 0 only if none failed. Whatever the client wants is what counts.
"""

import json
import os
import sys
import tempfile
import threading
import time
import uuid
from urllib.parse import urlparse

import requests
import urllib3
from cvprac.cvp_client import CvpClient
from cvprac.cvp_client_errors import CvpApiError, CvpLoginError, CvpRequestError

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


# -- coming in and going out


@check
def login_with_a_password():
    assert connected().session


@check
def login_with_a_token():
    client = CvpClient()
    client.connect([HOST], "", "", port=PORT, cert=PORTAL["ca_file"], api_token=PORTAL["token"])
    assert client.api.get_cvp_info()["version"]
    assert len(client.api.get_inventory()) >= 4


@check
def login_without_looking_at_the_certificate():
    assert connected(cert=False).api.get_cvp_info()


@check
def wrong_passwords_and_tokens_are_login_errors():
    raises(CvpLoginError, HOST, connected, password="wrong")
    raises(CvpLoginError, HOST, connected, user="nobody")
    client = CvpClient()
    bad = dict(port=PORT, cert=PORTAL["ca_file"], api_token="made.up.token")
    raises(CvpLoginError, HOST, client.connect, [HOST], "", "", **bad)


@check
def logout_ends_the_session():
    client = connected()
    session = client.headers["APP_SESSION_ID"]
    client.api.get_cvp_info()
    assert client.logout() is None
    raises(ValueError, "session", client.get, "/cvpInfo/getCvpInfo.do")
    url = f"https://{HOST}:{PORT}/web/cvpInfo/getCvpInfo.do"
    answer = requests.get(url, headers={"APP_SESSION_ID": session}, verify=PORTAL["ca_file"], timeout=10)
    assert answer.status_code == 401 and answer.reason == "Unauthorized", answer.status_code
    assert answer.json()["errorCode"] == "112498"


@check
def a_lost_session_is_opened_again():
    client = connected()
    for _ in range(2):
        assert client.post("/login/logout.do")["data"] == "success"
    assert client.api.get_cvp_info()["version"]


@check
def sessions_of_one_user_are_their_own():
    one, other = connected(), connected()
    one.logout()
    assert other.api.get_cvp_info()["version"]


@check
def every_way_of_being_known_does():
    client = connected()
    session = client.headers["APP_SESSION_ID"]
    url = f"https://{HOST}:{PORT}/web/cvpInfo/getCvpInfo.do"
    ways = [
        dict(headers={"APP_SESSION_ID": session}),
        dict(cookies={"session_id": session}),
        dict(cookies={"access_token": session}),
        dict(cookies={"access_token": PORTAL["token"]}),
        dict(headers={"Authorization": "Bearer " + PORTAL["token"]}),
    ]
    for way in ways:
        assert requests.get(url, verify=PORTAL["ca_file"], timeout=10, **way).status_code == 200, way
    assert requests.get(url, verify=PORTAL["ca_file"], timeout=10).status_code == 401


@check
def the_version_makes_the_level():
    levels = {"2022.2.0": 8.0, "2024.3.0": 14.0, "2026.3.0": 19.0}
    version = API.get_cvp_info()["version"]
    assert CLIENT.apiversion == levels[version], (version, CLIENT.apiversion)


# -- inventory, containers, topology


@check
def inventory_has_what_the_client_adds_to():
    inventory = API.get_inventory()
    assert len(inventory) == 4, len(inventory)
    for one in inventory:
        assert one["containerName"] == "Demo" and one["key"] == one["systemMacAddress"], one
        assert one["deviceStatus"] == "Registered" and one["complianceCode"] == "0000", one


@check
def devices_are_found_by_name_mac_and_serial():
    one = device()
    assert API.get_device_by_name("leaf-1", search_by_hostname=True)["key"] == one["key"]
    assert API.get_device_by_mac(one["systemMacAddress"])["fqdn"] == "leaf-1"
    assert API.get_device_by_serial(one["serialNumber"])["fqdn"] == "leaf-1"
    assert API.get_device_by_name("leaf") == {} and API.get_device_by_mac("00:00:00:00:00:00") == {}
    assert {d["fqdn"] for d in API.get_devices_in_container("Demo")} == {f"leaf-{n}" for n in range(1, 5)}
    assert API.get_parent_container_for_device(one["key"])["name"] == "Demo"


@check
def running_configuration_of_a_device():
    assert "hostname leaf-1" in API.get_device_configuration(device()["systemMacAddress"])
    assert API.get_device_image_info(device()["systemMacAddress"])["bundleName"] is None
    assert API.get_device_image_info("00:00:00:00:00:00") is None


@check
def rows_of_the_topology_fit_the_inventory():
    demo = API.get_container_by_name("Demo")
    rows = API.filter_topology(node_id=demo["key"])["topology"]["childNetElementList"]
    inventory = {one["key"]: one for one in API.get_inventory()}
    assert len(rows) == 4
    free = {"dcaKey", "modelName", "isDANZEnabled", "deviceInfo", "ztpMode", "isMLAGEnabled", "tempAction"}
    free |= {"containerName", "complianceCode", "complianceIndication"}
    for row in rows:
        known = inventory[row["key"]]
        for key, value in row.items():
            assert key in known, key
            assert key in free or known[key] == value, (key, value, known[key])
    found = API.get_device_by_name("leaf-1")
    extra = set(found) - set(inventory[found["key"]]) - {"hasZTR"}
    assert not extra, extra


@check
def containers_come_and_go():
    tenant, top, inner = {"name": "Tenant", "key": "root"}, name("a & b +"), name("in it")
    API.add_container(top, tenant["name"], tenant["key"])
    made = API.get_container_by_name(top)
    assert made["name"] == top
    API.add_container(inner, top, made["key"])
    below = API.get_container_by_name(inner)
    assert API.get_container_by_id(below["key"])["parentName"] == top
    listed = {one["name"]: one for one in API.get_containers()["data"]}
    assert listed[inner]["parentName"] == top and listed[top]["parentId"] == "root", listed[inner]
    raises(CvpApiError, "Data already exists", API.add_container, top, "Tenant", "root")
    raises(CvpApiError, "Only empty", API.delete_container, top, made["key"], "Tenant", "root")
    API.delete_container(inner, below["key"], top, made["key"])
    API.delete_container(top, made["key"], "Tenant", "root")
    assert API.get_container_by_name(top) is None
    raises(CvpApiError, "Invalid Container id", API.get_container_by_id, made["key"])


@check
def devices_move():
    one, demo = device(3), API.get_container_by_name("Demo")
    rack = name("rack")
    API.add_container(rack, "Tenant", "root")
    to = API.get_container_by_name(rack)
    tasks = API.move_device_to_container("judge", one, to)["data"]["taskIds"]
    assert len(tasks) == 1 and API.get_parent_container_for_device(one["key"])["name"] == rack
    assert API.move_device_to_container("judge", device(3), to)["data"]["taskIds"] == []
    execute(*tasks)
    execute(*API.move_device_to_container("judge", device(3), demo)["data"]["taskIds"])
    API.delete_container(rack, to["key"], "Tenant", "root")


@check
def a_device_is_reset_and_deployed():
    one, extra = device(3), configlet("vlan 44\n")
    execute(*API.reset_device("judge", one)["data"]["taskIds"])
    assert API.get_parent_container_for_device(one["key"])["key"] == "undefined_container"
    tasks = API.deploy_device(device(3), "Demo", configlets=[extra])["data"]["taskIds"]
    execute(*tasks)
    assert "vlan 44" in API.get_device_configuration(one["systemMacAddress"])
    put_away(device(3), extra)
    assert "vlan 44" not in API.get_device_configuration(one["systemMacAddress"])


@check
def devices_are_added_and_removed():
    API.add_device_to_inventory("10.9.8.7", "Undefined", "undefined_container", wait=True)
    found = [one for one in API.get_inventory() if one["ipAddress"] == "10.9.8.7"]
    assert len(found) == 1 and found[0]["parentContainerKey"] == "undefined_container"
    API.delete_device(found[0]["systemMacAddress"])
    assert API.get_device_by_mac(found[0]["systemMacAddress"]) == {}
    API.add_device_to_inventory("10.9.8.6", "Undefined", "undefined_container", wait=True)
    found = [one for one in API.get_inventory() if one["ipAddress"] == "10.9.8.6"]
    request = str(uuid.uuid4())
    API.device_decommissioning(found[0]["serialNumber"], request)

    def gone():
        status = API.device_decommissioning_status_get_one(request)["value"]["status"]
        return status == "DECOMMISSIONING_STATUS_SUCCESS"

    wait("the end of decommissioning", gone)
    assert any(one["result"]["value"]["key"]["requestId"] == request
               for one in API.device_decommissioning_status_get_all()["data"])
    assert API.get_device_by_mac(found[0]["systemMacAddress"]) == {}


# -- configlets


@check
def texts_are_kept_byte_for_byte():
    for text in ["", "\n\nvlan 7\n\n", "a\tb\r\nc", "! \u00fc \u4e16\u754c \U0001f600\n", "x" * 1_000_000]:
        one = configlet(text)
        assert API.get_configlet_by_name(one["name"])["config"] == text, text[:20]
        API.delete_configlet(one["name"], one["key"])


@check
def configlets_have_odd_names():
    for called in ["a b", "a+b & c=d # 100%", "\u00fc/\u4e16", "x" * 200]:
        one = configlet(called=called)
        assert API.get_configlet_by_name(called)["key"] == one["key"]
        assert one["key"] in [found["key"] for found in API.search_configlets(called)["data"]]
        API.delete_configlet(called, one["key"])


@check
def a_configlet_is_the_same_everywhere():
    one, dev = configlet("vlan 8\n"), device()
    execute(*apply(dev, one))
    by_name = API.get_configlet_by_name(one["name"])
    listed = [row for row in API.get_configlets()["data"] if row["key"] == one["key"]]
    held = [row for row in API.get_configlets_by_device_id(dev["systemMacAddress"]) if row["key"] == one["key"]]
    for row in listed + held:
        assert {k: v for k, v in row.items() if k != "dateTimeInLongFormat"} == \
            {k: v for k, v in by_name.items() if k != "dateTimeInLongFormat"}
    assert len(listed) == len(held) == 1 and by_name["netElementCount"] == 1 and by_name["containerCount"] == 0
    assert [row["hostName"] for row in API.get_applied_devices(one["name"])["data"]] == ["leaf-1"]
    put_away(dev, one)


@check
def configlets_are_changed_with_history_and_notes():
    one = configlet("vlan 1\n")
    answer = API.update_configlet("vlan 2\n", one["key"], one["name"], wait_task_ids=True)
    assert answer["taskIds"] == [] and "updated" in answer["data"]
    API.add_note_to_configlet(one["key"], "look here")
    assert API.get_configlet_by_name(one["name"])["note"] == "look here"
    history = API.get_configlet_history(one["key"])
    assert history["total"] == 2
    newest = history["configletHistory"][0]
    assert (newest["oldConfig"], newest["newConfig"], newest["newUserId"]) == ("vlan 1\n", "vlan 2\n", "cvpadmin")
    renamed = name("renamed")
    API.update_configlet("vlan 2\n", one["key"], renamed)
    assert API.get_configlet_by_name(renamed)["key"] == one["key"]
    API.delete_configlet(renamed, one["key"])


@check
def configlets_that_cannot_be():
    one = configlet()
    raises(CvpApiError, "Data already exists", API.add_configlet, one["name"], "x")
    raises(CvpApiError, "Entity does not exist", API.get_configlet_by_name, name("absent"))
    raises(CvpApiError, "No data found", API.update_configlet, "x", "configlet_absent", name("absent"))
    raises(CvpApiError, "Invalid input parameters", API.delete_configlet, one["name"], "configlet_absent")
    raises(CvpApiError, "Invalid input parameters", API.delete_configlet, "other", one["key"])
    API.delete_configlet(one["name"], one["key"])


@check
def a_configlet_in_use_is_not_deleted():
    one, dev = configlet(), device()
    apply(dev, one)
    error = raises(CvpApiError, "cannot be deleted", API.delete_configlet, one["name"], one["key"])
    assert "leaf-1" in str(error)
    put_away(dev, one)


@check
def lists_have_pages():
    made = [configlet(called=f"page {n} {uuid.uuid4().hex[:6]}") for n in range(5)]
    everything = API.get_configlets()
    assert everything["total"] == len(everything["data"]) >= 5
    first = API.get_configlets(0, 2)
    assert len(first["data"]) == 2 and first["total"] == everything["total"]
    assert API.get_configlets(2, 4)["data"] == everything["data"][2:4]
    assert API.get_configlets(10_000, 0)["data"] == []
    found = API.search_configlets("page ", 1, 3)
    assert len(found["data"]) == 2 and found["total"] == 5
    for one in made:
        API.delete_configlet(one["name"], one["key"])


@check
def validation_refuses_what_begins_no_command():
    mac = device()["systemMacAddress"]
    assert API.validate_config(mac, "interface Ethernet1\n   mtu 1500\n") is True
    assert API.validate_config(mac, "vlan 1\ntypocommand 7\n") is False
    answer = API.validate_config_for_device(mac, "typocommand 7\n")
    assert answer["errorCount"] == 1 and "typocommand" in answer["errors"][0]["error"], answer


@check
def comparison_counts_lines():
    dev, one = device(), configlet("lldp timer 9\n")
    mac = dev["systemMacAddress"]
    found = API.validate_configlets_for_device(mac, [one["key"]])
    assert (found["new"], found["mismatch"]) == (1, 0) and found["reconcile"] > 0, found
    whole = configlet(API.get_device_configuration(mac))
    found = API.validate_configlets_for_device(mac, [whole["key"]])
    assert (found["new"], found["mismatch"], found["reconcile"]) == (0, 0, 0), found
    assert apply(dev, whole, validate=True) == [], "nothing to push is no task"
    held = [row["name"] for row in API.get_configlets_by_device_id(mac)]
    assert held == [whole["name"]]
    put_away(device(), whole)
    API.delete_configlet(one["name"], one["key"])


@check
def mappers_tell_who_holds_what():
    dev, one = device(), configlet()
    execute(*apply(dev, one))
    data = API.get_configlets_and_mappers()["data"]
    rows = [row for row in data["configletMappers"] if row["configletId"] == one["key"]]
    assert [(row["type"], row["objectId"], row["containerId"]) for row in rows] == \
        [("netelement", dev["systemMacAddress"], "")], rows
    put_away(dev, one)


@check
def reconcile_configlets_come_last():
    dev = device(2)
    made = API.update_reconcile_configlet(dev["systemMacAddress"], "vlan 90", "", name("reconcile"), True)["data"]
    assert made["config"] == "vlan 90\n" and made["type"] == "Reconciled" and made["reconciled"] is True
    one = configlet("vlan 91\n")
    execute(*apply(dev, {"name": made["name"], "key": made["key"]}, one))
    held = API.get_configlets_by_device_id(dev["systemMacAddress"])
    assert [row["key"] for row in held] == [one["key"], made["key"]], held
    put_away(dev, one, {"name": made["name"], "key": made["key"]})


@check
def builders_are_kept():
    called = name("builder")
    API.add_configlet_builder(called, "print('x')")
    made = API.get_configlet_by_name(called)
    assert made["type"] == "Builder"
    data = API.get_configlet_builder(made["key"])["data"]
    assert data["isAssigned"] is False and data["main_script"]["data"], data
    API.delete_configlet(called, made["key"])


# -- applying


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


# -- tasks


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


# -- change controls


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
    taken = [s for s in CLIENT.get("/snapshot/getSnapshots.do?startIndex=0&endIndex=0")["data"] if s["templateId"] == snap]
    assert len(taken) == 2 and serial in taken[0]["outputs"][0]["output"], taken
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


# -- users, roles, accounts of programs


@check
def users_come_and_go():
    who = "user-" + uuid.uuid4().hex[:6]
    API.add_user(who, "first", "network-admin", "Enabled", "A", "B", "a@b", "Local")
    found = API.get_user(who)
    assert found["user"]["email"] == "a@b" and found["roles"] == ["network-admin"]
    assert who in [user["userId"] for user in API.get_users(who)["users"]]
    raises(CvpApiError, "already exists", API.add_user, who, "x", "network-admin", "Enabled", "", "", "", "Local")
    client = connected(who, "first")
    API.update_user(who, "second", "network-admin", "Enabled", "A", "B", "c@d", "Local")
    raises((CvpApiError, CvpRequestError, ValueError), "nauthorized", client.api.get_cvp_info)
    assert connected(who, "second").api.get_cvp_info()
    raises(CvpLoginError, HOST, connected, who, "first")
    API.delete_user(who)
    raises(CvpApiError, who, API.get_user, who)
    raises(CvpLoginError, HOST, connected, who, "second")


@check
def roles_come_and_go():
    called = name("role")
    API.add_role(called, "d", [{"name": "ztp", "mode": "r"}])
    key = [role["key"] for role in API.get_roles()["roles"] if role["name"] == called][0]
    assert API.get_role(key)["moduleListSize"] == 1
    API.update_role(key, called, "changed", [{"name": "ztp", "mode": "rw"}])
    assert API.get_role(key)["description"] == "changed"
    API.delete_role(key)
    raises(CvpApiError, key, API.get_role, key)
    raises(CvpApiError, "cannot be deleted", API.delete_role, "network-admin")


@check
def accounts_of_programs_have_tokens():
    who = "svc-" + uuid.uuid4().hex[:6]

    def value(answer):
        # Versions before 2024.3 answer with lists, later ones with streams.
        answer = answer[0] if isinstance(answer, list) else answer
        return answer.get("result", answer)["value"]

    API.svc_account_set(who, "d", ["network-admin"], 1)
    assert value(API.svc_account_get_one(who))["groups"]["values"] == ["network-admin"]
    assert who in [value(row)["key"]["name"] for row in API.svc_account_get_all()]
    made = value(API.svc_account_token_set(who, "1s", "short"))
    good = value(API.svc_account_token_set(who, "3600s", "long"))

    def by(token):
        client = CvpClient()
        client.connect([HOST], "", "", port=PORT, cert=PORTAL["ca_file"], api_token=token)
        return client.api.get_cvp_info()["version"]

    assert by(good["token"])
    time.sleep(1.2)
    raises(CvpLoginError, HOST, by, made["token"])
    API.svc_account_delete_expired_tokens()
    ids = [value(row)["key"]["id"] for row in API.svc_account_token_get_all()]
    assert good["key"]["id"] in ids and made["key"]["id"] not in ids
    API.svc_account_token_delete(good["key"]["id"])
    raises(CvpLoginError, HOST, by, good["token"])
    API.svc_account_delete(who)
    raises(CvpRequestError, "not found", API.svc_account_get_one, who)


# -- images, tags, workspaces


@check
def images_and_bundles():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"EOS-4.33.{uuid.uuid4().hex[:4]}.swi")
        with open(path, "wb") as file:
            file.write(b"image\r\n\r\n" * 1000)
        image = API.add_image(path)
        assert image["result"] == "success" and image["name"] == os.path.basename(path)
        other = API.image_upload("other-1.2.swix", path)
        assert other["name"] == "other-1.2.swix"
    images = API.get_images()
    assert images["total"] == len(images["data"]) == 2
    bundle, dev = name("bundle"), device(2)
    API.save_image_bundle(bundle, [image["name"]])
    found = API.get_image_bundle_by_name(bundle)
    assert found["isCertifiedImage"] == "true" and API.get_image_bundle_by_name("absent") is None
    API.update_image_bundle(found["id"], bundle, [image["name"]], certified=False)
    found = API.get_image_bundle_by_name(bundle)
    assert found["isCertifiedImage"] == "false" and API.get_image_bundles()["total"] == 1
    execute(*API.apply_image_to_device(found, dev)["data"]["taskIds"])
    assert API.get_device_image_info(dev["systemMacAddress"])["bundleName"] == bundle
    assert API.get_image_bundle_by_name(bundle)["appliedDevicesCount"] == 1
    raises(CvpApiError, "assigned", API.delete_image_bundle, found["key"], bundle)
    execute(*API.remove_image_from_device(found, dev)["data"]["taskIds"])
    API.delete_image_bundle(found["key"], bundle)
    for called in (image["name"], other["name"]):
        API.cancel_image(called)
    assert API.get_images()["total"] == 0


@check
def tags_are_edited_in_workspaces():
    space, kind = str(uuid.uuid4()), "ELEMENT_TYPE_DEVICE"
    API.workspace_config(space, "space", "d")
    assert API.get_workspace(space)["value"]["state"] == "WORKSPACE_STATE_PENDING"
    API.tag_config(kind, space, "rack", "r1")
    API.tag_assignment_config(kind, space, "rack", "r1", device()["serialNumber"], "")
    edits = API.get_tag_edits(space)["data"]
    assert [row["result"]["value"]["key"]["label"] for row in edits] == ["rack"], edits
    assert len(API.get_tag_assignment_edits(space)["data"]) == 1
    assert API.get_all_tags(kind)["data"] and "r1" not in json.dumps(
        [row for row in API.get_all_tags(kind)["data"] if row["result"]["value"]["key"]["workspaceId"] == ""])
    raises(CvpRequestError, "build", API.workspace_config, space, "space", "d", request="REQUEST_SUBMIT", request_id="s")
    API.workspace_config(space, "space", "d", request="REQUEST_START_BUILD", request_id="b1")
    wait("the build", lambda: API.workspace_build_status(space, "b1")["value"]["state"] == "BUILD_STATE_SUCCESS")
    API.workspace_config(space, "space", "d", request="REQUEST_SUBMIT", request_id="s1")
    assert API.get_workspace(space)["value"]["state"] == "WORKSPACE_STATE_SUBMITTED"
    merged = [row["result"]["value"]["key"] for row in API.get_all_tags(kind)["data"]]
    assert {"workspaceId": "", "elementType": kind, "label": "rack", "value": "r1"} in merged, merged
    assert space in json.dumps(API.get_all_workspaces())


# -- odd requests, and many at once


@check
def unknown_places_and_wrong_methods():
    raises(CvpRequestError, "MNF404", CLIENT.get, "/no/such.do")
    raises(CvpRequestError, "Method", CLIENT.get, "/configlet/addConfiglet.do")
    raises(CvpApiError, "", CLIENT.get, "/aaa/getServerById.do")
    raises(CvpRequestError, "", CLIENT.post, "/aaa/saveAAADetails.do")


@check
def bodies_that_make_no_sense():
    url, headers = f"https://{HOST}:{PORT}/web/configlet/addConfiglet.do", dict(CLIENT.headers)
    answer = requests.post(url, data="{not json", headers=headers, verify=PORTAL["ca_file"], timeout=10)
    assert answer.status_code == 400 and answer.json()["errorCode"] == "132718", answer.text
    raises(CvpApiError, "name", CLIENT.post, "/configlet/addConfiglet.do", data={"config": "x"})
    raises(CvpApiError, "", CLIENT.post, "/configlet/addConfiglet.do", data=["x"])
    assert API.get_cvp_info(), "the session lives on"


@check
def words_of_errors_in_texts_are_texts():
    one = configlet("! Unauthorized\n! errorCode 5\n")
    assert "errorCode" in API.get_configlet_by_name(one["name"])["config"]
    API.delete_configlet(one["name"], one["key"])


@check
def many_clients_at_once():
    same, made, failed = name("same"), [], []

    def work(number):
        try:
            api = connected().api
            for index in range(5):
                made.append((f"{same} {number} {index}", api.add_configlet(f"{same} {number} {index}", "vlan 1\n")))
            try:
                api.add_configlet(same, f"vlan {number}\n")
                made.append((same, api.get_configlet_by_name(same)["key"]))
            except CvpApiError as error:
                assert "Data already exists" in str(error)
                failed.append(number)
        except Exception as error:  # pylint: disable=broad-except
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 21 and len(failed) == 3, (len(made), failed)
    assert len({key for _, key in made}) == 21
    for called, key in made:
        API.delete_configlet(called, key)


@check
def nothing_is_left():
    assert API.get_configlets()["data"] == [], [one["name"] for one in API.get_configlets()["data"]]
    assert {one["name"] for one in API.get_containers()["data"]} == {"Tenant", "Undefined", "Demo"}
    # Tasks that nobody executed push what is designed now, which is nothing new.
    execute(*[task["workOrderId"] for task in API.get_tasks_by_status("Pending")])
    inventory = API.get_inventory()
    assert len(inventory) == 4 and {one["complianceCode"] for one in inventory} == {"0000"}


def main():
    failures = 0
    chosen = sys.argv[2:]
    for function in CHECKS:
        if chosen and function.__name__ not in chosen:
            continue
        try:
            function()
            print("ok", function.__name__, flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failures += 1
            line = error.__traceback__
            while line.tb_next:
                line = line.tb_next
            first = error.__traceback__.tb_next
            at = f"line {first.tb_lineno if first else line.tb_lineno}"
            text = f"{type(error).__name__}: {error}".replace("\n", " ")[:700]
            print(f"FAILED {function.__name__}: {at}: {text}", flush=True)
            try:
                CLIENT.post("/provisioning/deleteAllTempAction.do")
            except Exception:  # pylint: disable=broad-except
                pass
    sys.exit(1 if failures else 0)


main()
