"""Users, roles, accounts of programs, images, tags; odd requests, many clients at once. Comes last: nothing may be left."""

import json
import os
import tempfile
import threading
import time
import uuid

import requests
from cvprac.cvp_client import CvpClient
from cvprac.cvp_client_errors import CvpApiError, CvpLoginError, CvpRequestError
from judge import (
    API, CLIENT, HOST, PORT, PORTAL, check, configlet, connected, device, execute, name, raises, wait,
)


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
