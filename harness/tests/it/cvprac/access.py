"""Coming in and going out."""

import requests
from cvprac.cvp_client import CvpClient
from cvprac.cvp_client_errors import CvpLoginError
from judge import API, CLIENT, HOST, PORT, PORTAL, check, connected, raises


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
