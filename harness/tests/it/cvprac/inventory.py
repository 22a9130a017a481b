"""Devices, containers, the topology."""

import uuid

from cvprac.cvp_client_errors import CvpApiError
from judge import API, check, configlet, device, execute, name, put_away, raises, wait


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
    API.add_device_to_inventory("10.9.8.7", "Undefined", "undefined_container", wait=True)
    assert API.get_device_by_mac(found[0]["systemMacAddress"])["serialNumber"] == found[0]["serialNumber"]
    API.delete_device(found[0]["systemMacAddress"])
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
