//! A real RabbitMQ with its AMQP 1.0 plugin: one per test process, on a free port, in a folder of its own.
//!
//! It ends with the test process however that ends, as PostgreSQL does; so does the port mapper it needs.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use fe2o3_amqp::{
    Connection, Receiver, Sender, Session,
    connection::ConnectionHandle,
    session::SessionHandle,
    types::messaging::{Body, Data, Header, Message, MessageAnnotations, Properties},
    types::primitives::{Timestamp, Value as Amqp},
};
use serde_json::Value;

/// The server.
pub(crate) struct RabbitMq {
    port: u16,
    _keeper: ChildStdin,
}

/// The one server of this process.
pub(crate) fn rabbitmq() -> &'static RabbitMq {
    static SERVER: OnceLock<RabbitMq> = OnceLock::new();
    SERVER.get_or_init(RabbitMq::start)
}

impl RabbitMq {
    #[expect(
        clippy::zombie_processes,
        reason = "it lives for as long as this process, and ends with it"
    )]
    fn start() -> Self {
        let program = Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
        assert!(
            program.is_file(),
            "RabbitMQ is not installed: run tests/install"
        );
        let folder = tempfile::Builder::new()
            .prefix("portcullis-rabbitmq-")
            .tempdir()
            .unwrap()
            .keep();
        let [port, distribution, mapper] = [(); 3].map(|()| free_port());
        for name in ["log", "mnesia"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        fs::write(folder.join("plugins"), "[rabbitmq_amqp1_0].\n").unwrap();
        fs::write(
            folder.join("rabbitmq.conf"),
            format!(
                "listeners.tcp.1 = 127.0.0.1:{port}\nlog.file.level = info\namqp1_0.default_user = none\n\
                 amqp1_0.default_vhost = /\n"
            ),
        )
        .unwrap();
        // The shell waits for the end of its input, which is our end.
        let script = "trap '' INT; \"$1\" & server=$!; read _; kill -TERM $server; wait $server; \
                      epmd -port \"$3\" -kill; rm -rf \"$2\"";
        let log = fs::File::create(folder.join("output")).unwrap();
        let set = |name: &str| folder.join(name);
        let mut keeper = Command::new("sh")
            .args(["-c", script, "keeper"])
            .arg(program)
            .arg(&folder)
            .arg(mapper.to_string())
            .env("HOME", &folder)
            .env("RABBITMQ_NODENAME", format!("portcullis{port}@localhost"))
            .env("RABBITMQ_DIST_PORT", distribution.to_string())
            .env("ERL_EPMD_PORT", mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", set("mnesia"))
            .env("RABBITMQ_LOG_BASE", set("log"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", set("plugins"))
            .env("RABBITMQ_CONFIG_FILE", set("rabbitmq.conf"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", set("mnesia"))
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = Self {
            port,
            _keeper: keeper.stdin.take().unwrap(),
        };
        wait_until_ready(port, &folder.join("output"));
        server
    }

    /// Its address, as a setting of the gateway.
    pub(crate) fn address(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// Another client.
    pub(crate) async fn client(&self) -> Client {
        let mut connection = Connection::builder()
            .container_id("approvals")
            .open(self.address().as_str())
            .await
            .unwrap();
        let session = Session::begin(&mut connection).await.unwrap();
        Client {
            session,
            _connection: connection,
        }
    }
}

/// Someone who asks people: reads questions and sends answers.
pub(crate) struct Client {
    session: SessionHandle<()>,
    _connection: ConnectionHandle<()>,
}

impl Client {
    /// Sends one message.
    pub(crate) async fn put(&mut self, queue: &str, id: &str, body: &[u8]) {
        let name = format!("{queue}-{id}");
        let mut sender = Sender::attach(&mut self.session, name, queue)
            .await
            .unwrap();
        let properties = Properties::builder().message_id(id.to_owned()).build();
        // What anyone can write here, the broker did not say.
        let some_day = Timestamp::from_milliseconds(4_000_000_000_000);
        let annotations = MessageAnnotations::builder().insert("x-opt-enqueued-time", some_day);
        let message = Message::builder()
            .message_annotations(annotations.build())
            .header(Header::builder().durable(true).build())
            .properties(properties)
            .data(Data::from(body.to_vec()))
            .build();
        let outcome = sender.send(message).await.unwrap();
        outcome.accepted_or("not accepted").unwrap();
    }

    /// The messages of a queue that `is` accepts, one at least; others stay.
    pub(crate) async fn until(&mut self, queue: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut receiver = Receiver::attach(&mut self.session, format!("{queue}-test"), queue)
            .await
            .unwrap();
        let began = Instant::now();
        loop {
            let left = Duration::from_secs(40).saturating_sub(began.elapsed());
            let delivery = tokio::time::timeout(left, receiver.recv::<Body<Amqp>>());
            let delivery = delivery.await.expect("no such message came").unwrap();
            receiver.accept(&delivery).await.unwrap();
            let parts = delivery.into_body().try_into_data().unwrap();
            let bytes: Vec<u8> = parts.flat_map(|part| part.to_vec()).collect();
            let message: Value = serde_json::from_slice(&bytes).unwrap();
            if is(&message) {
                return message;
            }
        }
    }
}

fn wait_until_ready(port: u16, output: &PathBuf) {
    let began = Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(90),
            "RabbitMQ did not start: {}",
            fs::read_to_string(output).unwrap_or_default()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
