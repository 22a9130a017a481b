//! What is refused is refused as the real one does.

use super::*;

#[rstest::rstest]
#[case("GET", "/web/no/such.do", "", 404, "MNF404")]
#[case("PUT", "/web/task/getTasks.do", "", 405, "152718")]
#[case("POST", "/web/configlet/addConfiglet.do", "{not", 400, "132718")]
#[case("POST", "/web/configlet/addConfiglet.do", "[]", 200, "132718")]
#[case("POST", "/web/configlet/addConfiglet.do", r#"{"config": "x"}"#, 200, "132718")]
#[case("POST", "/web/configlet/addConfiglet.do", r#"{"name": " ", "config": "x"}"#, 200, "132718")]
#[case(
    "POST",
    "/web/configlet/addConfiglet.do",
    r#"{"name": "taken", "config": "x", "unknown": 1}"#,
    200,
    "132518"
)]
#[case("GET", "/web/configlet/getConfigletByName.do?name=absent", "", 200, "132801")]
#[case(
    "POST",
    "/web/configlet/updateConfiglet.do",
    r#"{"key": "absent", "name": "n", "config": ""}"#,
    200,
    "132532"
)]
#[case("POST", "/web/configlet/deleteConfiglet.do", r#"[{"key": "absent", "name": "n"}]"#, 200, "132718")]
#[case("GET", "/web/configlet/getConfigletHistory.do?configletId=absent", "", 200, "132801")]
#[case("GET", "/web/task/getTaskById.do?taskId=x", "", 200, "142WF606")]
#[case("POST", "/web/task/executeTask.do", r#"{"data": [99]}"#, 200, "142WF606")]
#[case("GET", "/web/provisioning/getContainerInfoById.do?containerId=absent", "", 200, "122801")]
#[case("GET", "/web/provisioning/getConfigletsByNetElementId.do?netElementId=absent", "", 200, "122801")]
#[case("GET", "/web/inventory/device/config?netElementId=absent", "", 200, "122801")]
#[case("GET", "/web/user/getUser.do?userId=absent", "", 200, "202889")]
#[case("GET", "/web/role/getRole.do?roleId=absent", "", 200, "232889")]
#[case("POST", "/web/role/deleteRoles.do", r#"["network-admin"]"#, 200, "232809")]
#[tokio::test]
async fn the_classic_api_refuses(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let ground = ground(PortalSpec::default()).await;
    ground.configlet("taken", "").await;
    let answer = ground.ask(method, path, body).await;
    assert_eq!((answer.status, answer.json()["errorCode"].as_str()), (status, Some(code)), "{answer:?}");
    assert_eq!(status == 405, answer.head.contains("allow: get"), "{answer:?}");
}

#[rstest::rstest]
#[case("GET", "ChangeControl?key.id=absent", "", 404, 5)]
#[case("DELETE", "ChangeControlConfig?key.id=absent", "null", 404, 5)]
#[case("POST", "ChangeControlConfig", "null", 400, 3)]
#[case("POST", "ChangeControlConfig", r#"{"change": {"name": "x"}}"#, 400, 3)]
#[case("POST", "ChangeControlConfig", r#"{"key": {"id": "a"}, "start": {"value": true}}"#, 404, 5)]
#[case(
    "POST",
    "ChangeControlConfig",
    r#"{"key": {"id": "a"}, "change": {"rootStageId": "r", "stages": {"values": {"r": {}}}}}"#,
    400,
    3
)]
#[case("POST", "ChangeControlConfig", r#"{"key": {"id": "a"}, "change": {"name": "n", "rootStageId": "r", "stages": {"values": {"r": {"action": {"name": "task", "args": {"values": {"TaskID": 1}}}}}}}}"#, 400, 3)]
#[case("POST", "ApproveConfig", r#"{"key": {"id": "there"}, "approve": {"value": true}}"#, 400, 3)]
#[case(
    "POST",
    "ApproveConfig",
    r#"{"key": {"id": "there"}, "approve": {"value": true}, "version": "2001-01-01T00:00:00Z"}"#,
    400,
    9
)]
#[case("POST", "ChangeControlConfig", r#"{"key": {"id": "there"}, "start": {"value": true}}"#, 400, 9)]
#[case("GET", "ApproveConfig?key.id=there", "", 404, 5)]
#[tokio::test]
async fn the_resource_api_refuses(
    #[case] method: &str,
    #[case] path: &str,
    #[case] body: &str,
    #[case] status: u16,
    #[case] code: u8,
) {
    let base = "/api/resources/changecontrol/v1/";
    let ground = ground(PortalSpec::default()).await;
    let there = json!({"key": {"id": "there"}, "change": {"name": "n", "root_stage_id": "r", "stages": {"values": {"r": {}}}}});
    assert_eq!(
        ground.ask("POST", &format!("{base}ChangeControlConfig"), &there.to_string()).await.status,
        200
    );
    let answer = ground.ask(method, &format!("{base}{path}"), body).await;
    assert_eq!((answer.status, answer.json()["code"].as_u64()), (status, Some(code.into())), "{answer:?}");
}
