//! Small manifests, and the pods that they make.

use super::*;
use crate::pods::arguments;

const OBJECTS: &str = "
kind: ConfigMap
metadata: {name: settings}
data: {HOST: 'postgres:5432'}
---
kind: ConfigMap
metadata: {name: logins}
data: {a.sql: SELECT 1}
---
kind: Service
metadata: {name: wallet}
spec: {selector: {app: wallet}}
---
kind: Service
metadata: {name: nats-peers}
spec: {selector: {app: nats}}
---
kind: Deployment
metadata: {name: wallet, labels: {cambist.phase: services}}
spec:
  template:
    metadata: {labels: {app: wallet}}
    spec:
      securityContext: {runAsUser: 65532, runAsGroup: 65533, fsGroup: 65534}
      containers:
        - name: cambist
          image: cambist:local
          args: [serve, wallet]
          envFrom: [{configMapRef: {name: settings}}]
          env:
            - {name: PASSWORD, valueFrom: {secretKeyRef: {name: wallet, key: password}}}
            - {name: URL, value: 'x:$(PASSWORD)@$(HOST)'}
          ports: [{name: internal, containerPort: 8001}]
          startupProbe: {httpGet: {path: /livez, port: internal}}
          resources: {limits: {cpu: 250m, memory: 512Mi}}
          securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: data, mountPath: /data}, {name: sql, mountPath: /sql}]
      volumes: [{name: data, emptyDir: {sizeLimit: 1Gi}}, {name: sql, configMap: {name: logins}}]
---
kind: HorizontalPodAutoscaler
metadata: {name: wallet}
spec: {scaleTargetRef: {kind: Deployment, name: wallet}, minReplicas: 2}
---
kind: StatefulSet
metadata: {name: nats, labels: {cambist.phase: foundation}}
spec:
  serviceName: nats-peers
  replicas: 3
  template:
    metadata: {labels: {app: nats}}
    spec:
      securityContext: {runAsUser: 1, runAsGroup: 1, fsGroup: 1}
      containers:
        - name: nats
          image: nats
          command: [nats-server]
          env: [{name: WHO, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
          livenessProbe: {exec: {command: [ready, -x]}}
          resources: {limits: {cpu: '2', memory: 1Gi}}
          volumeMounts: [{name: data, mountPath: /data}, {name: memory, mountPath: /dev/shm}]
      volumes: [{name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]
  volumeClaimTemplates: [{metadata: {name: data}}]
";

fn planned(text: &str) -> Result<Vec<Pod>> {
    let secrets = Secrets::from([(("wallet".to_owned(), "password".to_owned()), "secret".to_owned())]);
    pods(&Objects::parse(text).unwrap(), &secrets, Ipv4Addr::new(10, 0, 0, 9))
}

#[test]
fn there_are_as_many_pods_as_a_cluster_starts_each_with_its_names_and_an_address() {
    let pods = planned(OBJECTS).unwrap();
    let known: Vec<String> = pods
        .iter()
        .map(|pod| format!("{} {} {} {}", pod.name, pod.address, pod.phase, pod.names.join(",")))
        .collect();
    assert_eq!(
        known,
        [
            "wallet-1 10.0.0.9 services wallet",
            "wallet-2 10.0.0.10 services wallet",
            "nats-0 10.0.0.11 foundation nats-peers,nats-0.nats-peers",
            "nats-1 10.0.0.12 foundation nats-peers,nats-1.nats-peers",
            "nats-2 10.0.0.13 foundation nats-peers,nats-2.nats-peers",
        ]
    );
    assert_eq!(pods[3].containers[0].environment["WHO"], "nats-1");
    let probes = [&pods[0].containers[0].probes, &pods[2].containers[0].probes];
    assert_eq!(
        *probes[0],
        [Probe::Http {
            port: 8001,
            path: "/livez".to_owned()
        }]
    );
    assert_eq!(*probes[1], [Probe::Command(vec!["ready".to_owned(), "-x".to_owned()])]);
}

#[test]
fn a_container_runs_as_its_manifest_says_and_no_secret_is_among_the_words() {
    let pods = planned(OBJECTS).unwrap();
    let folder = std::path::Path::new("/volumes");
    let words = |pod: &Pod| arguments::of_container(pod, &pod.containers[0], folder);
    assert_eq!(
        words(&pods[0]),
        [
            "run",
            "--pod=wallet-1",
            "--name=wallet-1-cambist",
            "--user=65532:65533",
            "--group-add=65534",
            "--read-only",
            "--read-only-tmpfs=false",
            "--security-opt=no-new-privileges",
            "--cap-drop=ALL",
            "--cpus=0.250",
            "--memory=536870912b",
            "--http-proxy=false",
            "--pull=never",
            "--env=HOST",
            "--env=PASSWORD",
            "--env=URL",
            "--volume=/volumes/wallet-1/data:/data:rw",
            "--volume=/volumes/wallet-1/sql:/sql:ro",
            "cambist:local",
            "serve",
            "wallet",
        ]
    );
    assert_eq!(pods[0].containers[0].environment["URL"], "x:secret@postgres:5432");
    let nats = words(&pods[2]);
    assert!(nats.contains(&"--entrypoint=[\"nats-server\"]".to_owned()), "{nats:?}");
    assert!(
        nats.contains(&"--volume=/volumes/claims/data-nats-0:/data:rw".to_owned()),
        "{nats:?}"
    );
    assert!(
        nats.contains(&"--tmpfs=/dev/shm:rw,size=1048576,mode=1777".to_owned()),
        "{nats:?}"
    );
    assert!(
        !nats.contains(&"--read-only".to_owned()),
        "what is not confined is not confined here either"
    );
    let pod = arguments::of_pod(&pods[2], "prj");
    assert_eq!(
        pod.last().unwrap(),
        "prj:ip=10.0.0.11,alias=nats-peers,alias=nats-0.nats-peers"
    );
}

#[test]
fn what_is_not_understood_is_no_pod() {
    for (what, other) in [
        ("runAsUser: 65532", "runAsUser: 0"),
        ("runAsUser: 65532, ", ""),
        ("memory: 512Mi", "memory: lots"),
        ("cpu: 250m", "cpu: few"),
        ("emptyDir: {sizeLimit: 1Gi}", "hostPath: {path: /}"),
        ("name: logins}}]\n---\nkind: H", "name: gone}}]\n---\nkind: H"),
        ("key: password", "key: forgotten"),
    ] {
        let changed = OBJECTS.replace(what, other);
        assert!(changed != OBJECTS && planned(&changed).is_err(), "{other}");
    }
}
