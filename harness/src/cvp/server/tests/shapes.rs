//! Answers have the shapes that clients read.

use super::*;

#[rstest::rstest]
#[case::version("/cvpInfo/getCvpInfo.do", "", "version")]
#[case::devices(
    "/inventory/devices?provisioned=True",
    "/0",
    "systemMacAddress status mlagEnabled danzEnabled parentContainerKey bootupTimestamp internalBuild hostname fqdn serialNumber ipAddress modelName version complianceCode complianceIndication streamingStatus"
)]
#[case::containers("/inventory/containers", "/0", "Key Name CreatedBy CreatedOn Mode")]
#[case::config("/inventory/device/config?netElementId=00:1c:73:00:00:01", "", "output warnings")]
#[case::element(
    "/provisioning/getNetElementInfoById.do?netElementId=00%3A1c%3A73%3A00%3A00%3A01",
    "",
    "bundleName imageBundleId imageBundleMapper"
)]
#[case::container(
    "/provisioning/getContainerInfoById.do?containerId=undefined_container",
    "",
    "name parentName date userId associatedSwitches"
)]
#[case::found(
    "/provisioning/searchTopology.do?queryParam=LEAF-1&startIndex=0&endIndex=0",
    "",
    "total keywordList containerList netElementList netElementContainerList"
)]
#[case::found_device(
    "/provisioning/v3/searchTopology.do?queryParam=leaf-1&startIndex=0&endIndex=0",
    "/netElementList/0",
    "deviceStatus parentContainerId fqdn systemMacAddress serialNumber ipAddress key"
)]
#[case::found_where(
    "/provisioning/searchTopology.do?queryParam=00:1c:73:00:00:02&startIndex=0&endIndex=0",
    "/netElementContainerList/0",
    "containerKey containerName netElementKey"
)]
#[case::topology(
    "/provisioning/filterTopology.do?nodeId=root&format=topology&startIndex=0&endIndex=0",
    "/topology",
    "key name type childContainerCount childNetElementCount childContainerList childNetElementList tempAction deviceStatus"
)]
#[case::actions("/provisioning/getAllTempActions.do?startIndex=0&endIndex=0", "", "total data")]
#[case::of_device(
    "/provisioning/getConfigletsByNetElementId.do?netElementId=00:1c:73:00:00:01&startIndex=0&endIndex=0",
    "",
    "total configletList configletMapper"
)]
#[case::of_container(
    "/provisioning/getConfigletsByContainerId.do?containerId=root&startIndex=0&endIndex=0",
    "",
    "total configletList configletMapper"
)]
#[case::proposed(
    "/provisioning/getTempConfigsByNetElementId.do?netElementId=00:1c:73:00:00:01",
    "",
    "proposedConfiglets existingConfiglets"
)]
#[case::configlet(
    "/configlet/getConfigletByName.do?name=a+b%20c",
    "",
    "key name config type user note reconciled containerCount netElementCount dateTimeInLongFormat isDefault isAutoBuilder editable sslConfig visible isDraft typeStudioConfiglet factoryId id"
)]
#[case::configlets("/configlet/getConfiglets.do?startIndex=0&endIndex=0", "/data/0", "key name config type")]
#[case::searched("/configlet/searchConfiglets.do?queryparam=A+B&startIndex=0&endIndex=0", "/data/0", "key")]
#[case::mappers(
    "/configlet/getConfigletsAndAssociatedMappers.do",
    "/data",
    "configlets configletBuilders configletMappers generatedConfigletMappers"
)]
#[case::applied(
    "/configlet/getAppliedDevices.do?configletName=a+b%20c&startIndex=0&endIndex=0",
    "",
    "total data"
)]
#[case::tasks(
    "/task/getTasks.do?queryparam=&startIndex=0&endIndex=0",
    "/data/0",
    "workOrderId description note workOrderUserDefinedStatus taskStatus currentTaskName ccId ccIdV2 stageId workOrderDetails data createdOnInLongFormat"
)]
#[case::task(
    "/task/getTaskById.do?taskId=1",
    "/workOrderDetails",
    "netElementId netElementHostName ipAddress serialNumber"
)]
#[case::task_data(
    "/task/getTaskById.do?taskId=1",
    "/data",
    "WORKFLOW_ACTION VIEW NETELEMENT_ID currentparentContainerId newparentContainerId configletList ignoreConfigletList"
)]
#[case::log(
    "/task/getLogsById.do?id=1&queryparam=&startIndex=0&endIndex=0",
    "/data/0",
    "logDetails dateTimeInLongFormat userName objectName workOrderId key"
)]
#[case::user(
    "/user/getUser.do?userId=cvpadmin",
    "/user",
    "userId userStatus userType email firstName lastName"
)]
#[case::users("/user/getUsers.do?queryparam=&startIndex=0&endIndex=0", "", "total users roles")]
#[case::roles(
    "/role/getRoles.do?startIndex=0&endIndex=0",
    "/roles/0",
    "key name description moduleList moduleListSize createdBy createdOn"
)]
#[case::templates("/snapshot/templates?queryparam=&startIndex=0&endIndex=0", "", "total templateKeys")]
#[case::images("/image/getImages.do?queryparam=&startIndex=0&endIndex=0", "", "total data")]
#[tokio::test]
async fn answers_have_what_clients_read(#[case] path: &str, #[case] at: &str, #[case] keys: &str) {
    let ground = ground(PortalSpec::default()).await;
    let key = ground.configlet("a b c", "vlan 1\n").await;
    ground.assign(&[&key]).await;
    for prefix in ["/web", "//cvpservice/"] {
        has(&ground.get(&format!("{prefix}{path}")).await, at, keys);
    }
}

#[tokio::test]
async fn a_login_has_what_clients_read() {
    let ground = ground(PortalSpec::default()).await;
    let login = ground.login(ground.portal.password()).await;
    has(&login.json(), "", "sessionId username user roles permissionList authenticationType cookie");
    assert!(
        login.head.contains("set-cookie: session_id=session_") && login.head.contains("path=/"),
        "{login:?}"
    );
    assert!(!login.head.contains("secure"), "there is no TLS");
    let wrong = ground.login("wrong").await;
    assert_eq!((wrong.status, wrong.json()["errorCode"].as_str()), (401, Some("112955")));
    assert!(wrong.head.starts_with("http/1.1 401 unauthorized"));
    let broken = ground.raw("POST", "/web/login/authenticate.do", "", "{").await.unwrap();
    assert_eq!((broken.status, broken.json()["errorCode"].as_str()), (400, Some("112718")));
}
