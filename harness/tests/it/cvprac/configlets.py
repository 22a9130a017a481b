"""Configlets."""

import uuid

from cvprac.cvp_client_errors import CvpApiError
from judge import API, apply, check, configlet, device, execute, name, put_away, raises


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
