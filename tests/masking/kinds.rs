//! Kinds of document, each with places for secrets and a clean twin.
//!
//! `«type»` in a template is a place: in the dirty document an invented value of that type stands there, in its clean twin
//! something that is no secret. No credential stands in this file.

/// A kind's name and its template.
pub(crate) const KINDS: &[(&str, &str)] = &[
    (
        "terraform state",
        r#"{"version": 4, "terraform_version": "1.9.5", "serial": 12, "resources": [{"mode": "managed", "type": "azurerm_postgresql_flexible_server", "name": "main", "instances": [{"attributes": {"administrator_login": "pgadmin", "administrator_password": "«password»", "fqdn": "main.postgres.database.azure.com", "id": "/subscriptions/7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001/resourceGroups/rg/providers/x"}}]}, {"type": "azurerm_storage_account", "instances": [{"attributes": {"primary_access_key": "«storage»", "primary_blob_endpoint": "https://acct.blob.core.windows.net/"}}]}]}"#,
    ),
    (
        "terraform plan",
        "  # random_password.db will be created\n  + resource \"random_password\" \"db\" {\n      + bcrypt_hash = (sensitive value)\n      + length      = 24\n    }\n  ~ resource \"azurerm_linux_web_app\" \"api\" {\n      ~ app_settings = {\n          ~ \"DB_PASSWORD\" = \"«password»\" -> \"«password»\"\n            \"WEBSITE_RUN_FROM_PACKAGE\" = \"1\"\n        }\n    }\n",
    ),
    (
        "tfvars",
        "location = \"westeurope\"\nadmin_username = \"ops\"\nadmin_password = \"«password»\"\nclient_secret  = \"«secret»\"\ninstance_count = 3\n",
    ),
    (
        "helm values",
        "replicaCount: 2\nimage:\n  repository: registry.contoso.com/api\n  tag: 1.14.2\npostgresql:\n  auth:\n    username: app\n    password: «password»\n    existingSecret: \"\"\nredis:\n  auth:\n    enabled: true\n    password: \"«password»\"\ningress:\n  hosts: [api.contoso.com]\n",
    ),
    (
        "npmrc",
        "registry=https://packages.contoso.com/npm/\n//packages.contoso.com/npm/:_authToken=«npm»\n//npm.contoso.com/:_password=«b64password»\nalways-auth=true\n",
    ),
    (
        "pypirc",
        "[distutils]\nindex-servers =\n    pypi\n    internal\n\n[pypi]\nusername = __token__\npassword = «pypi»\n\n[internal]\nrepository: https://pypi.contoso.com/\nusername: builder\npassword: «password»\n",
    ),
    (
        "netrc",
        "machine github.com\n  login octocat\n  password «github»\n\nmachine api.heroku.com login ops@contoso.invalid password «password»\n",
    ),
    (
        "kubeconfig",
        "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    server: https://10.0.0.1:6443\n  name: prod\nusers:\n- name: admin\n  user:\n    token: «jwt»\n    client-key-data: «b64key»\n- name: ops\n  user:\n    username: ops\n    password: «password»\ncurrent-context: prod\n",
    ),
    (
        "docker config",
        "{\n  \"auths\": {\n    \"registry.contoso.com\": {\n      \"auth\": \"«basic»\"\n    },\n    \"https://index.docker.io/v1/\": {\n      \"auth\": \"«basic»\"\n    }\n  },\n  \"credsStore\": \"desktop\"\n}\n",
    ),
    (
        "web.config",
        "<configuration>\n  <connectionStrings>\n    <add name=\"Main\" connectionString=\"Server=sql1;Database=crm;User Id=app;Password=«password»;Encrypt=true\" providerName=\"System.Data.SqlClient\" />\n  </connectionStrings>\n  <appSettings>\n    <add key=\"SmtpPassword\" value=\"«password»\" />\n    <add key=\"ApiKey\" value=\"«hexkey»\" />\n    <add key=\"PageSize\" value=\"50\" />\n  </appSettings>\n</configuration>\n",
    ),
    (
        "spring properties",
        "server.port=8080\nspring.datasource.url=jdbc:postgresql://db.internal:5432/crm\nspring.datasource.username=app\nspring.datasource.password=«password»\nspring.mail.password=«password»\nspring.security.oauth2.client.registration.azure.client-secret=«secret»\nlogging.level.root=INFO\n",
    ),
    (
        "spring yaml",
        "spring:\n  datasource:\n    url: jdbc:mysql://app:«password»@db.internal:3306/crm\n    hikari:\n      maximum-pool-size: 10\n  rabbitmq:\n    addresses: amqp://svc:«password»@mq.internal:5672\n",
    ),
    (
        "ansible vars",
        "---\ndb_user: app\ndb_password: '«password»'\nvault_api_token: «secret»\nansible_become_pass: «password»\nntp_servers:\n  - 0.pool.ntp.org\nsecret_path: /etc/app/secrets\n",
    ),
    (
        "ansible vault",
        "$ANSIBLE_VAULT;1.1;AES256\n66386439653236336462626566653063336164663966303231363934653561363964363833313662\n6431626536303530376336343832656537303632313433360a626438346336353331386135323734\nmail_to: «email»\n",
    ),
    (
        "postman collection",
        r#"{"info": {"name": "CRM", "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"}, "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "«bearer»", "type": "string"}]}, "item": [{"name": "login", "request": {"method": "POST", "header": [{"key": "X-Api-Key", "value": "«hexkey»"}], "url": "https://api.contoso.com/login", "body": {"mode": "raw", "raw": "{\"email\": \"«email»\", \"password\": \"«password»\"}"}}}]}"#,
    ),
    (
        "har",
        r#"{"log": {"version": "1.2", "entries": [{"startedDateTime": "2026-03-07T17:51:53.100Z", "time": 51, "request": {"method": "GET", "url": "https://api.contoso.com/items/5?api_key=«hexkey»&page=2", "headers": [{"name": "Authorization", "value": "Bearer «bearer»"}, {"name": "Cookie", "value": "theme=dark; sessionid=«cookie»"}, {"name": "Accept", "value": "*/*"}], "cookies": [{"name": "sessionid", "value": "«cookie»"}]}, "response": {"status": 200, "headers": [{"name": "Set-Cookie", "value": "sid=«cookie»; Path=/; HttpOnly"}], "content": {"size": 51, "text": "{\"email\":\"«email»\"}"}}}]}}"#,
    ),
    (
        "jenkins log",
        "Started by user admin\nRunning on agent-7 in /var/jenkins/workspace/deploy\n[Pipeline] sh\n+ docker login -u ci -p «password» registry.contoso.com\nLogin Succeeded\n+ mysql -h db.internal -u app -p«password» crm\n+ curl -sS -u deploy:«password» https://nexus.contoso.com/upload\nFinished: SUCCESS\n",
    ),
    (
        "github actions log",
        "2026-03-07T17:51:53.1000000Z ##[group]Run az login\n2026-03-07T17:51:53.2000000Z az login --service-principal -u 7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001 -p «secret» --tenant contoso.com\n2026-03-07T17:51:54.3000000Z env:\n2026-03-07T17:51:54.3100000Z   GITHUB_TOKEN: «github»\n2026-03-07T17:51:54.3200000Z   NODE_ENV: production\n2026-03-07T17:51:55.0000000Z ##[endgroup]\n",
    ),
    (
        "gitlab ci",
        "stages: [build, deploy]\nvariables:\n  DOCKER_TLS_CERTDIR: \"\"\n  DEPLOY_TOKEN: \"«gitlab»\"\n  SSHPASS: '«password»'\ndeploy:\n  stage: deploy\n  script:\n    - sshpass -p '«password»' ssh deploy@web1 uptime\n    - helm upgrade api ./chart --set db.password=«password»\n",
    ),
    (
        "strace",
        "execve(\"/usr/bin/psql\", [\"psql\", \"-h\", \"db\", \"crm\"], 0x7ffd /* 24 vars */) = 0\nopenat(AT_FDCWD, \"/home/app/.pgpass\", O_RDONLY) = 3\nread(3, \"db.internal:5432:crm:app:«password»\\n\", 4096) = 44\nwrite(4, \"GET / HTTP/1.1\\r\\nAuthorization: Bearer «bearer»\\r\\n\", 90) = 90\nclose(3) = 0\n",
    ),
    (
        "tcpdump",
        "17:51:53.100200 IP 10.0.0.4.51234 > 10.0.0.9.80: Flags [P.], seq 1:213, ack 1, win 502, length 212: HTTP: POST /login HTTP/1.1\nE..(..@.@.....\nPOST /login HTTP/1.1\r\nHost: crm.internal\r\nAuthorization: Basic «basic»\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\nuser=ann&password=«password»&remember=1\n",
    ),
    (
        "mime mail",
        "From: Ann Jones <«email»>\nTo: Bob <«email»>\nSubject: Your new account\nDate: Sat, 7 Mar 2026 17:51:53 +0100\nMessage-ID: <20260307175153.GA12345@mail.contoso.invalid>\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\nHello Bob,\n\nyour password is «password» and your phone extension is 12.\nCall me at «phone».\n",
    ),
    (
        "mime base64",
        "MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\n\n«b64mail»\n",
    ),
    (
        "vcard",
        "BEGIN:VCARD\nVERSION:4.0\nFN:Ann Jones\nEMAIL;TYPE=work:«email»\nTEL;TYPE=cell;VALUE=uri:tel:«phone»\nBDAY:«dob»\nREV:20260307T175153Z\nEND:VCARD\n",
    ),
    (
        "icalendar",
        "BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Contoso//Cal//EN\nBEGIN:VEVENT\nUID:19970610T172345Z-AF23B2@contoso.invalid\nDTSTART:20260307T170000Z\nORGANIZER;CN=Ann:mailto:«email»\nDESCRIPTION:Dial «phone»\\, PIN is on the wall\nEND:VEVENT\nEND:VCALENDAR\n",
    ),
    (
        "ldif",
        "dn: uid=ann,ou=people,dc=contoso,dc=com\nobjectClass: inetOrgPerson\nuid: ann\nmail: «email»\nmobile: «phone»\nuserPassword: «password»\nuidNumber: 10004\n",
    ),
    (
        "pg_dump",
        "COPY public.customers (id, full_name, email, phone, card_number) FROM stdin;\n1\tAnn Jones\t«email»\t«phone»\t«card»\n2\tBob Kent\t«email»\t«phone»\t«card»\n\\.\n",
    ),
    (
        "mysqldump",
        "INSERT INTO `users` (`id`,`email`,`password`,`iban`,`created_at`) VALUES (1,'«email»','«password»','«iban»','2026-03-07 17:51:53'),(2,'«email»','«password»','«iban»','2026-03-08 17:51:53');\n",
    ),
    (
        "psql expanded",
        "-[ RECORD 1 ]-+---------------------------\nid            | 4821\nfull_name     | Ann Jones\nemail         | «email»\nssn           | «ssn»\ndate_of_birth | «dob»\napi_token     | «secret»\ncreated_at    | 2026-03-07 17:51:53\n",
    ),
    (
        "markdown table",
        "| Service | User | Password | Port |\n|---|---|---|---|\n| postgres | app | «password» | 5432 |\n| redis | default | «password» | 6379 |\n\nContact: **«email»**\n",
    ),
    (
        "latex",
        "\\begin{tabular}{lll}\nName & E-mail & IBAN \\\\\nAnn Jones & «email» & «iban» \\\\\n\\end{tabular}\n",
    ),
    (
        "html table",
        "<table><thead><tr><th>Name</th><th>E-mail</th><th>Phone</th><th>Card</th></tr></thead>\n<tbody><tr><td>Ann Jones</td><td>«email»</td><td>«phone»</td><td>«card»</td></tr></tbody></table>\n<input type=\"hidden\" name=\"csrf_token\" value=\"«secret»\">\n<input type=\"password\" name=\"password\" value=\"«password»\">\n",
    ),
    (
        "csv semicolon",
        "\"id\";\"name\";\"email\";\"iban\";\"password\"\n\"1\";\"Jones; Ann\";\"«email»\";\"«iban»\";\"«password»\"\n\"2\";\"Kent, Bob\";\"«email»\";\"«iban»\";\"«password»\"\n",
    ),
    (
        "tsv",
        "id\tname\tdob\tssn\ttoken\n1\tAnn Jones\t«dob»\t«ssn»\t«secret»\n2\tBob Kent\t«dob»\t«ssn»\t«secret»\n",
    ),
    (
        "fixed width",
        "NAME            USER        PASSWORD              LAST LOGIN\nann jones       ann         «password»       2026-03-07\nbob kent        bob         «password»       2026-03-08\n",
    ),
    (
        "logfmt",
        "ts=2026-03-07T17:51:53Z level=info msg=\"user signed up\" email=«email» phone=«phone» request_id=7d9f0c1e\nts=2026-03-07T17:51:54Z level=debug msg=\"token issued\" access_token=«secret» expires_in=3600\n",
    ),
    (
        "syslog",
        "Mar  7 17:51:53 web1 sshd[4821]: Accepted publickey for deploy from 10.0.0.4 port 51234 ssh2: RSA SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\nMar  7 17:51:54 web1 app[511]: login failed for «email» with password '«password»'\nMar  7 17:51:55 web1 sudo: deploy : TTY=pts/0 ; COMMAND=/usr/bin/htpasswd -b /etc/htpasswd ann «password»\n",
    ),
    (
        "nginx log",
        "10.0.0.4 - - [07/Mar/2026:17:51:53 +0000] \"GET /api/items?access_token=«secret»&page=2 HTTP/1.1\" 200 512 \"-\" \"curl/8.5.0\"\n10.0.0.5 - ann [07/Mar/2026:17:51:54 +0000] \"GET /reset?email=«urlemail»&code=4 HTTP/1.1\" 200 12 \"https://contoso.com/\" \"Mozilla/5.0 (X11; Linux x86_64)\"\n",
    ),
    (
        "windows event",
        "<Event xmlns=\"http://schemas.microsoft.com/win/2004/08/events/event\"><System><EventID>4688</EventID><TimeCreated SystemTime=\"2026-03-07T17:51:53.100Z\" /></System><EventData><Data Name=\"SubjectUserName\">ann</Data><Data Name=\"CommandLine\">net user ann «password» /add</Data><Data Name=\"NewProcessId\">0x1a2c</Data></EventData></Event>\n",
    ),
    (
        "powershell",
        "PS C:\\> $cred = ConvertTo-SecureString \"«password»\" -AsPlainText -Force\nPS C:\\> Get-ADUser ann -Properties mail | Format-List\n\nGivenName : Ann\nmail      : «email»\nmobile    : «phone»\nSID       : S-1-5-21-1004336348-1177238915-682003330-512\n",
    ),
    (
        "az keyvault",
        "{\n  \"attributes\": {\"enabled\": true, \"created\": \"2026-03-07T17:51:53+00:00\"},\n  \"contentType\": null,\n  \"id\": \"https://kv.vault.azure.net/secrets/db-password/0d9f0c1e52aa4f0c9d0e0e6e1cb7a001\",\n  \"name\": \"db-password\",\n  \"value\": \"«password»\"\n}\n",
    ),
    (
        "az sp",
        "{\n  \"appId\": \"7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001\",\n  \"displayName\": \"deploy\",\n  \"password\": \"«entra»\",\n  \"tenant\": \"52aa0c1e-7d9f-4f0c-9d0e-0e6e1cb7a002\"\n}\n",
    ),
    (
        "kubectl secret",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  uid: 7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001\ntype: Opaque\ndata:\n  password: «b64password»\n  username: YXBw\n",
    ),
    (
        "kubectl env",
        "    Environment:\n      DB_HOST:      db.internal\n      DB_PASSWORD:  «password»\n      LOG_LEVEL:    info\n      API_TOKEN:    <set to the key 'token' in secret 'api'>  Optional: false\n",
    ),
    (
        "aws sts",
        "{\n    \"Credentials\": {\n        \"AccessKeyId\": \"«aws»\",\n        \"SecretAccessKey\": \"«awssecret»\",\n        \"SessionToken\": \"«awssession»\",\n        \"Expiration\": \"2026-03-07T18:51:53Z\"\n    }\n}\n",
    ),
    (
        "aws credentials",
        "[default]\naws_access_key_id = «aws»\naws_secret_access_key = «awssecret»\nregion = eu-west-1\n",
    ),
    (
        "gcloud",
        "{\n  \"type\": \"service_account\",\n  \"project_id\": \"crm-prod\",\n  \"private_key_id\": \"ea93a84b8ff1afa95c11947cf25cc26b58d31a58\",\n  \"private_key\": \"«pemline»\",\n  \"client_email\": \"sa@crm-prod.iam.gserviceaccount.com\"\n}\n",
    ),
    (
        "slack export",
        r#"[{"type": "message", "user": "U024BE7LH", "text": "the db password is «password», don't tell", "ts": "1741369913.000200"}, {"type": "message", "user": "U024BE7LJ", "text": "mail <mailto:«email»|«email»> or use «slack»", "ts": "1741369914.000200"}]"#,
    ),
    (
        "soap",
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Header><wsse:UsernameToken><wsse:Username>svc</wsse:Username><wsse:Password Type=\"http://docs.oasis-open.org/wss#PasswordText\">«password»</wsse:Password></wsse:UsernameToken></soapenv:Header><soapenv:Body><c:Customer><c:Email>«email»</c:Email><c:Iban>«iban»</c:Iban></c:Customer></soapenv:Body></soapenv:Envelope>\n",
    ),
    (
        "graphql",
        r#"{"data": {"viewer": {"login": "ann", "email": "«email»", "apiTokens": {"nodes": [{"id": "MDQ6VXNlcjE=", "token": "«secret»"}]}, "paymentMethod": {"cardNumber": "«card»", "expires": "12/28"}}}}"#,
    ),
    (
        "protobuf text",
        "user {\n  id: 4821\n  email: \"«email»\"\n  phone_number: \"«phone»\"\n  credentials {\n    password: \"«password»\"\n    api_key: \"«hexkey»\"\n  }\n}\n",
    ),
    (
        "toml",
        "[database]\nhost = \"db.internal\"\nport = 5432\npassword = \"«password»\"\n\n[registries.private]\nindex = \"sparse+https://crates.contoso.com/index/\"\ntoken = \"«secret»\"\n",
    ),
    (
        "systemd unit",
        "[Unit]\nDescription=API\n[Service]\nEnvironment=\"DB_PASSWORD=«password»\" \"LOG_LEVEL=info\"\nEnvironment=API_KEY=«hexkey»\nExecStart=/usr/bin/api --db-password «password» --port 8080\nRestart=always\n",
    ),
    (
        "crontab",
        "MAILTO=«email»\n0 3 * * * PGPASSWORD=«password» pg_dump -h db.internal crm > /backup/crm.sql\n*/5 * * * * redis-cli -h cache -a «password» ping\n15 4 * * 0 openssl enc -aes-256-cbc -pass pass:«password» -in a -out b\n",
    ),
    (
        "makefile",
        "DB_PASS ?= «password»\nexport STRIPE_KEY := «stripe»\n.PHONY: deploy\ndeploy:\n\t@curl -H \"X-Auth-Token: «secret»\" https://deploy.contoso.com/run\n\t@sshpass -p«password» ssh deploy@web1 uptime\n",
    ),
    (
        "dockerfile",
        "FROM node:22-alpine\nARG NPM_TOKEN=«npm»\nENV DB_PASSWORD «password»\nENV API_SECRET=«secret»\nRUN echo \"root:«password»\" | chpasswd\nEXPOSE 8080\n",
    ),
    (
        "python",
        "import os\nDB = {\"user\": \"app\", \"passwd\": \"«password»\"}\nAPI_KEY = os.environ[\"API_KEY\"]\nclient = OpenAI(api_key=\"«openai»\")\nconn = psycopg.connect(host=\"db\", password='«password»')\npassword = getpass.getpass()\n",
    ),
    (
        "javascript",
        "const config = {\n  apiKey: process.env.API_KEY,\n  dbPassword: '«password»',\n  jwtSecret: `«secret»`,\n};\naxios.get(url, { headers: { Authorization: 'Bearer «bearer»' } });\nconst token = await getToken();\n",
    ),
    (
        "c sharp",
        "public class Db\n{\n    private const string Conn = \"Server=tcp:x.database.windows.net;User ID=app;Password=«password»;\";\n    string apiKey = \"«hexkey»\";\n    public string Password { get; set; }\n    var blob = \"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=«storage»;EndpointSuffix=core.windows.net\";\n}\n",
    ),
    (
        "java",
        "public final class Main {\n    private static final String DB_PASSWORD = \"«password»\";\n    void run() { ds.setPassword(\"«password»\"); String token = request.getHeader(\"X-Token\"); }\n    DriverManager.getConnection(\"jdbc:mysql://db/crm\", \"app\", \"«password»\");\n}\n",
    ),
    (
        "go",
        "package main\n\nvar dsn = \"app:«password»@tcp(db:3306)/crm\"\n\nconst apiToken = \"«secret»\"\n\nfunc password() string { return os.Getenv(\"PASSWORD\") }\n",
    ),
    (
        "php",
        "<?php\ndefine('DB_PASSWORD', '«password»');\n$config['smtp_pass'] = '«password»';\n$password = $_POST['password'];\n$db = new mysqli('db', 'app', '«password»', 'crm');\n",
    ),
    (
        "ruby",
        "production:\n  password: <%= ENV['DB_PASSWORD'] %>\nconfig.secret_key_base = '«hexkey»'\nMail.defaults { delivery_method :smtp, password: '«password»' }\n",
    ),
    (
        "jdbc url",
        "jdbc:postgresql://db:5432/crm?user=app&password=«password»&ssl=true\njdbc:sqlserver://sql1:1433;databaseName=crm;user=app;password=«password»;encrypt=true\njdbc:oracle:thin:app/«password»@//ora:1521/crm\n",
    ),
    (
        "odbc",
        "Driver={ODBC Driver 18 for SQL Server};Server=tcp:sql1,1433;Database=crm;Uid=app;Pwd={«password»};Encrypt=yes;\n",
    ),
    (
        "bash history",
        "cd /srv/app\nexport AWS_SECRET_ACCESS_KEY=«awssecret»\ncurl -H 'Authorization: token «github»' https://api.github.com/user\nopenssl enc -d -aes-256-cbc -k «password» -in x\nmongosh \"mongodb+srv://app:«password»@cluster0.x.mongodb.net/crm\"\nPGPASSWORD='«password»' psql -h db crm\nzip -P «password» a.zip a.txt\ngit clone https://oauth2:«gitlab»@gitlab.com/x/y.git\n",
    ),
    (
        "windows cmd",
        "net use \\\\files\\share «password» /user:CONTOSO\\ann\nnet user bob «password» /add\ncmdkey /add:server /user:ann /pass:«password»\nschtasks /create /tn job /ru ann /rp «password» /tr a.exe\nsqlcmd -S sql1 -U sa -P «password» -Q \"select 1\"\n",
    ),
    (
        "ps aux",
        "USER       PID %CPU %MEM COMMAND\nmysql     1021  0.0  1.1 mysqldump -uroot -p«password» crm\nroot      1022  0.0  0.1 /usr/bin/vault login «vault»\napp       1023  0.0  2.0 java -Dspring.datasource.password=«password» -jar app.jar\n",
    ),
    (
        "git diff",
        "diff --git a/.env b/.env\nindex 83db48f..bf269f4 100644\n--- a/.env\n+++ b/.env\n@@ -1,3 +1,3 @@\n-DB_PASSWORD=«password»\n+DB_PASSWORD=«password»\n LOG_LEVEL=info\n",
    ),
    (
        "jwt cookie header",
        "HTTP/1.1 200 OK\ndate: Sat, 07 Mar 2026 17:51:53 GMT\nset-cookie: auth=«jwt»; Path=/; Secure\netag: \"33a64df551425fcc55e4d42a148795d9f25f89d4\"\nx-api-key: «hexkey»\n\n{\"access_token\":\"«jwt»\",\"token_type\":\"Bearer\",\"expires_in\":3600}\n",
    ),
    (
        "json in json",
        r#"{"event": "invoke", "body": "{\"user\":{\"email\":\"«email»\",\"password\":\"«password»\"},\"n\":\"{\\\"api_key\\\":\\\"«hexkey»\\\"}\"}", "status": 200}"#,
    ),
    ("base64 of json", "payload: «b64json»\nX-State: «b64json»\n"),
    (
        "hex bytea",
        " id | payload\n----+---------\n  1 | \\x«hexjson»\n",
    ),
    (
        "url encoded twice",
        "callback=https%3A%2F%2Fcontoso.com%2Fcb%3Faccess_token%3D«secret»%26state%3Dx\nnext=https%253A%252F%252Fcontoso.com%252Fcb%253Faccess_token%253D«secret»%2526state%253Dx\n",
    ),
    (
        "html entities",
        "<pre>{&quot;user&quot;: &quot;app&quot;, &quot;password&quot;: &quot;«password»&quot;, &quot;port&quot;: 5432}</pre>\n<p>mail&#58; «email»</p>\n",
    ),
    (
        "quoted printable",
        "Content-Transfer-Encoding: quoted-printable\n\npassword: «password»\nGr=C3=BC=C3=9Fe, «email»\n",
    ),
    (
        "chat",
        "[17:51] ann: what's the wifi password?\n[17:52] bob: the password is «password»\n[17:52] bob: and the api key: «hexkey»\n[17:53] ann: thanks! my number is «phone»\n",
    ),
    (
        "support ticket",
        "Customer: Ann Jones (DOB: «dob»)\nSSN: «ssn»\nCard: «card» exp 12/28\nIBAN: «iban»\nNI number: «nino»\nPassport No: «passport»\nPlease reset her account, ticket #48211, order 731118523.\n",
    ),
    (
        "invoice",
        "Invoice 2026-0307\nVAT DE811234567\nPay to: «iban»  BIC COBADEFFXXX\nQuestions: «email», tel. «phone»\nTotal: 1,290.50 EUR, due 2026-04-07\n",
    ),
    (
        "pem",
        "deploy key:\n«pem»\nfingerprint SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8\n",
    ),
    (
        "wireguard",
        "[Interface]\nPrivateKey = «wgkey»\nAddress = 10.0.0.2/24\n[Peer]\nPublicKey = «wgpublic»\nPresharedKey = «wgkey»\nEndpoint = vpn.contoso.com:51820\n",
    ),
    (
        "rails log",
        "Started POST \"/login\" for 10.0.0.4 at 2026-03-07 17:51:53 +0000\n  Parameters: {\"utf8\"=>\"✓\", \"user\"=>{\"email\"=>\"«email»\", \"password\"=>\"«password»\"}, \"commit\"=>\"Log in\"}\nCompleted 302 Found in 51ms\n",
    ),
    (
        "python repr",
        "{'user': 'app', 'password': '«password»', 'token': b'«secret»', 'when': datetime.datetime(2026, 3, 7, 17, 51)}\nUser(id=5, email='«email»', password=SecretStr('**********'))\n",
    ),
    (
        "dsn",
        "SENTRY_DSN=https://«hexkey»@o4821.ingest.sentry.io/4821\nDATABASE_URL=postgres://app:«password»@db.internal/crm?sslmode=require\nREDIS_URL=rediss://:«password»@cache:6380/0\nAMQP=amqp://svc:«password»@mq/vhost\n",
    ),
    (
        "ini without section",
        "; mail\nsmtp_host=mail.contoso.com\nsmtp_password=«password»\n# token = none\nauth_token = «secret»\n",
    ),
    (
        "jsonl events",
        "{\"t\":1741369913,\"ev\":\"signup\",\"props\":{\"$email\":\"«email»\",\"phone\":\"«phone»\",\"plan\":\"pro\"}}\n{\"t\":1741369914,\"ev\":\"pay\",\"props\":{\"pan\":\"«card»\",\"cvv\":\"«cvv»\",\"amount\":1290}}\n",
    ),
    (
        "sas and functions",
        "curl \"https://acct.blob.core.windows.net/c/b?sv=2023-11-03&sr=b&sp=r&se=2026-10-25T00%3A00%3A00Z&sig=«sig»\"\ncurl \"https://fn.azurewebsites.net/api/x?code=«azfu»\"\n",
    ),
    (
        "shell with a variable for one command",
        "PGPASSWORD=«password» psql -h db -U app crm -c 'select 1'\nAPI_TOKEN=«secret» ./deploy.sh --env prod --verbose\n",
    ),
    (
        "powershell with named arguments",
        "$env:AZURE_CLIENT_SECRET = \"«entra»\"\nNew-LocalUser -Name svc -Password (ConvertTo-SecureString -String '«password»' -AsPlainText -Force)\n",
    ),
    (
        "javascript defaults",
        "process.env.JWT_SECRET ||= '«secret»';\nconfig.dbPassword ??= '«password»';\nprocess.env.LOG_LEVEL ||= 'info';\n",
    ),
    (
        "calls that connect",
        "my $dbh = DBI->connect(\"dbi:Pg:dbname=crm\", \"app\", \"«password»\");\n$config{password} = \"«password»\";\nlocal c = env:connect(\"crm\", \"app\", \"«password»\", \"db\")\nrequests.get(url, auth=(\"app\", \"«password»\"))\ndb.auth(\"app\", \"«password»\")\n",
    ),
    (
        "rust with types",
        "let password: &'static str = \"«password»\";\nlet token: &str = \"«secret»\";\nlet retries: u32 = 3;\n",
    ),
    (
        "wpa_supplicant",
        "network={\n  ssid=\"office\"\n  psk=\"«password»\"\n}\n",
    ),
    (
        "yaml block scalar",
        "database:\n  password: >-\n    «password»\n  user: app\n  motd: |\n    welcome back\n",
    ),
    (
        "what colleagues write",
        "Hi, the password for the staging box is «password» and the webhook key is `«secret»`.\nTests: pass: 17, fail: 2; the cache key is 9f86d081884c7d659a2feaa0c55ad015.\n",
    ),
    (
        "php define",
        "define('AUTH_KEY', '«secret»');\ndefine('WP_DEBUG', 'false');\n",
    ),
    (
        "docker compose",
        "services:\n  db:\n    image: postgres:16.4@sha256:4b4b2f284174353c2fb14b4b2f284174353c2fb14b4b2f284174353c2fb10a1b\n    environment:\n      POSTGRES_USER: app\n      POSTGRES_PASSWORD: «password»\n      - RABBITMQ_DEFAULT_PASS=«password»\n    command: [\"redis-server\", \"--requirepass\", \"«password»\"]\n    ports: [\"5432:5432\"]\n",
    ),
    (
        "kubectl describe",
        "Name:         api-6f9d7c5b8-x2kqp\nNamespace:    shop\nImage ID:     docker.io/shop/api@sha256:0205d896889ef59fa3980205d896889ef59fa3980205d896889ef59fa3981c2d\nEnvironment:\n  DB_HOST:             db.internal\n  DB_PASSWORD:         «password»\n  STRIPE_API_KEY:      «stripe»\n  FEATURE_FLAGS:       a,b\n  SESSION_SECRET:      <set to the key 'session' in secret 'api'>  Optional: false\nMounts:\n  /var/run/secrets/kubernetes.io/serviceaccount from kube-api-access-9vjxk (ro)\n",
    ),
    (
        "java stack trace with a url",
        "Exception in thread \"main\" java.sql.SQLException: Access denied for user 'app'@'10.0.0.4' (using password: YES)\n\tat com.mysql.cj.jdbc.exceptions.SQLError.createSQLException(SQLError.java:129)\nCaused by: java.lang.IllegalStateException: cannot connect to jdbc:mysql://db.internal:3306/shop?user=app&password=«password»&useSSL=true\nCaused by: PSQLException: jdbc:postgresql://app:«password»@db.internal/shop: Connection refused\n\t... 14 more\n",
    ),
    (
        "pip.conf",
        "[global]\nindex-url = https://ci:«password»@packages.contoso.com/simple\nextra-index-url = https://__token__:«gitlab»@gitlab.contoso.com/api/v4/projects/7/packages/pypi/simple\ntimeout = 60\n",
    ),
    (
        "wp-config",
        "<?php\ndefine( 'DB_NAME', 'shop' );\ndefine( 'DB_USER', 'app' );\ndefine( 'DB_PASSWORD', '«password»' );\ndefine( 'AUTH_KEY',         '«secret»' );\ndefine( 'SECURE_AUTH_KEY',  '«secret»' );\ndefine( 'NONCE_KEY',        '«secret»' );\n$table_prefix = 'wp_';\n",
    ),
    (
        "appsettings",
        "{\n  \"Logging\": { \"LogLevel\": { \"Default\": \"Information\" } },\n  \"ConnectionStrings\": {\n    \"Main\": \"Server=tcp:sql1.database.windows.net,1433;Database=shop;User ID=app;Password=«password»;Encrypt=True\",\n    \"Cache\": \"cache.redis.cache.windows.net:6380,password=«secret»,ssl=True,abortConnect=False\"\n  },\n  \"Jwt\": { \"Issuer\": \"shop\", \"SigningKey\": \"«secret»\" },\n  \"Smtp\": { \"Host\": \"mail.contoso.com\", \"Password\": \"«password»\" },\n  \"TelemetryId\": \"7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001\"\n}\n",
    ),
    (
        "ansible inventory",
        "[web]\nweb1 ansible_host=10.0.0.5 ansible_user=ops ansible_ssh_pass=«password» ansible_port=22\nweb2 ansible_host=10.0.0.6 ansible_become_password='«password»'\n\n[web:vars]\nhttp_port=8080\nvault_token=«vault»\n",
    ),
    (
        "mysql table",
        "+----+-----------------------+--------------+------------+\n| id | email                 | password     | created    |\n+----+-----------------------+--------------+------------+\n|  1 | «email» | «password» | 2026-03-07 |\n|  2 | «email» | «password» | 2026-03-08 |\n+----+-----------------------+--------------+------------+\n2 rows in set (0.00 sec)\n",
    ),
    (
        "hl7",
        "MSH|^~\\&|LAB|CONTOSO|EHR|CONTOSO|20260307175153||ORU^R01|MSG00001|P|2.5\nPID|1||48211^^^CONTOSO^MR||JONES^ANN||«dob8»|F|||1 MAIN ST^^DELFT||«phone»|||||«ssn»\nOBX|1|NM|718-7^HEMOGLOBIN||13.2|g/dL|12.0-16.0|N|||F\nNTE|1||Contact «email» for results.\n",
    ),
    (
        "edifact",
        "UNA:+.? '\nUNB+UNOC:3+SENDER+RECEIVER+260307:1751+REF0001'\nNAD+BY+5412345000176::9++Contoso+1 Main St+Delft'\nCOM+«email»:EM'\nFII+BF+«iban»:Contoso'\nUNT+7+1'\n",
    ),
    (
        "kafka properties",
        "bootstrap.servers=broker1:9093,broker2:9093\nsecurity.protocol=SASL_SSL\nsasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"app\" password=\"«password»\";\nssl.truststore.password=«password»\nssl.key.password=«password»\ngroup.id=shop\n",
    ),
    (
        "env file with export and quotes",
        "# local\nexport DATABASE_URL=\"postgres://app:«password»@localhost:5432/shop\"\nexport SECRET_KEY_BASE='«secret»'\nexport  SENTRY_DSN=\nTWILIO_AUTH_TOKEN=\"«hexkey»\" # rotate\nGIT_SHA=ce137f1e8d51546861db711dded53c0ea71f6b2d\n",
    ),
    (
        "swift",
        "import Foundation\nstruct Config {\n    static let baseURL = URL(string: \"https://api.contoso.com\")!\n    static let apiKey = \"«secret»\"\n    private let clientSecret: String = \"«secret»\"\n    lazy var password: String = { \"«password»\" }()\n}\n",
    ),
    (
        "kotlin",
        "object Config {\n    const val API_KEY = \"«secret»\"\n    private val dbPassword by lazy { \"«password»\" }\n    val clientSecret: String by lazy { \"«secret»\" }\n    val name: String by lazy { \"contoso-shop-production-1\" }\n    var timeout = 30\n}\n",
    ),
    (
        "scala",
        "object Main extends App {\n  val apiToken: String = \"«secret»\"\n  lazy val dbPassword = sys.env.getOrElse(\"DB_PASSWORD\", \"«password»\")\n  val db = Database.forURL(\"jdbc:postgresql://db/shop\", user = \"app\", password = \"«password»\")\n}\n",
    ),
    (
        "nginx configuration",
        "server {\n    listen 443 ssl;\n    ssl_certificate_key /etc/nginx/tls.key;\n    location /api/ {\n        proxy_set_header Authorization \"Bearer «bearer»\";\n        proxy_set_header X-Api-Key \"«secret»\";\n        proxy_set_header X-Auth-Token «secret»;\n        proxy_set_header Host $host;\n        proxy_pass https://backend;\n    }\n}\n",
    ),
    (
        "apache and haproxy",
        "RequestHeader set X-Api-Key \"«secret»\"\nRequestHeader set Authorization \"Basic «basic»\"\nhttp-request set-header X-Auth-Token «secret»\nSSLCertificateKeyFile /etc/ssl/private/site.key\nAuthLDAPBindPassword \"«password»\"\n",
    ),
    (
        "redis.conf",
        "port 6379\nrequirepass «password»\nmasterauth «password»\nmaxmemory 512mb\n",
    ),
    (
        "form and query",
        "POST /login HTTP/1.1\nHost: shop.contoso.com\nContent-Type: application/x-www-form-urlencoded\n\nusername=ann&password=«password»&remember=on&client_secret=«secret»&page=2\n",
    ),
    (
        "multipart",
        "------WebKitFormBoundary7MA4YWxkTrZu0gW\nContent-Disposition: form-data; name=\"username\"\n\nann\n------WebKitFormBoundary7MA4YWxkTrZu0gW\nContent-Disposition: form-data; name=\"password\"\n\n«password»\n------WebKitFormBoundary7MA4YWxkTrZu0gW--\n",
    ),
    (
        "opentelemetry",
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"5b8efff798038103d269b633813fc60c\",\"spanId\":\"eee19b7ec3c1b174\",\"name\":\"GET /items\",\"attributes\":[{\"key\":\"http.request.header.authorization\",\"value\":{\"stringValue\":\"Bearer «bearer»\"}},{\"key\":\"db.password\",\"value\":{\"stringValue\":\"«password»\"}},{\"key\":\"enduser.id\",\"value\":{\"stringValue\":\"«email»\"}},{\"key\":\"http.status_code\",\"value\":{\"intValue\":\"200\"}}]}]}]}]}\n",
    ),
    (
        "maven settings",
        "<settings>\n  <servers>\n    <server><id>nexus</id><username>ci</username><password>«password»</password></server>\n    <server><id>gh</id><privateKey>/home/ci/.ssh/id_rsa</privateKey><passphrase>«password»</passphrase></server>\n  </servers>\n</settings>\n",
    ),
    (
        "nuget.config",
        "<configuration>\n  <packageSourceCredentials>\n    <contoso>\n      <add key=\"Username\" value=\"ci\" />\n      <add key=\"ClearTextPassword\" value=\"«password»\" />\n    </contoso>\n  </packageSourceCredentials>\n</configuration>\n",
    ),
    (
        "gradle properties",
        "org.gradle.jvmargs=-Xmx2g\nnexusPassword=«password»\nsigning.password=«password»\nsigning.keyId=24875D73\n",
    ),
    (
        "rclone and s3cfg",
        "[backup]\ntype = s3\naccess_key_id = «aws»\nsecret_access_key = «awssecret»\nregion = eu-west-1\n[default]\nsecret_key = «awssecret»\n",
    ),
    (
        "terraform source",
        "variable \"db_password\" {\n  type      = string\n  default   = \"«password»\"\n  sensitive = true\n}\nprovider \"datadog\" {\n  api_key = \"«hexkey»\"\n  app_key = \"«hexkey»\"\n}\nresource \"aws_instance\" \"web\" { ami = \"ami-0abcdef1234567890\" }\n",
    ),
    (
        "arm parameters",
        "{\"$schema\": \"https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#\", \"contentVersion\": \"1.0.0.0\", \"parameters\": {\"adminPassword\": {\"value\": \"«password»\"}, \"sqlAdminPassword\": {\"value\": \"«password»\"}, \"location\": {\"value\": \"westeurope\"}, \"vmSize\": {\"value\": \"Standard_D2s_v5\"}}}\n",
    ),
    (
        "cloud-init",
        "#cloud-config\nusers:\n  - name: ops\n    plain_text_passwd: «password»\n    ssh_authorized_keys:\n      - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7kXoV9q0n1m2l3k4j5h6g7f8d9s0a1q2w3e4r5t6y7 ops\nruncmd:\n  - [ sh, -c, \"echo 'ops:«password»' | chpasswd\" ]\n",
    ),
    (
        "docker inspect",
        "[{\"Id\": \"ce137f1e8d51546861db711dded53c0ea71f6b2dce137f1e8d51546861db711d\", \"Config\": {\"Env\": [\"PATH=/usr/local/bin:/usr/bin\", \"POSTGRES_PASSWORD=«password»\", \"API_TOKEN=«secret»\", \"PG_VERSION=16.4-1.pgdg120+1\"], \"Image\": \"postgres@sha256:9039ce36b76a74981de69039ce36b76a74981de69039ce36b76a74981de60a1b\"}}]\n",
    ),
    (
        "elixir config",
        "import Config\nconfig :shop, Shop.Repo,\n  username: \"app\",\n  password: \"«password»\",\n  hostname: \"db.internal\"\nconfig :shop, ShopWeb.Endpoint, secret_key_base: \"«secret»\"\n",
    ),
    (
        "perl and lua",
        "my $dbh = DBI->connect(\"dbi:mysql:shop;host=db\", \"app\", \"«password»\");\nmy %opt = (password => '«password»', timeout => 5);\nlocal api_key = \"«secret»\"\n",
    ),
    (
        "groovy pipeline",
        "pipeline {\n  environment {\n    API_TOKEN = '«secret»'\n    DB_PASSWORD = credentials('db-password')\n  }\n  stages { stage('x') { steps { sh \"curl -H 'X-Api-Key: «secret»' https://api.contoso.com\" } } }\n}\n",
    ),
    (
        "jsx and typescript",
        "const client = new Client({ apiKey: '«secret»', region: \"eu\" });\nexport const password: string = `«password»`;\n<Login password=\"«password»\" onSubmit={login} />\nfetch(url, { headers: { Authorization: `Bearer ${token}`, 'x-api-key': \"«hexkey»\" } });\n",
    ),
    (
        "r and julia",
        "con <- dbConnect(RPostgres::Postgres(), user = \"app\", password = \"«password»\")\nSys.setenv(OPENAI_API_KEY = \"«openai»\")\nENV[\"API_TOKEN\"] = \"«secret»\"\n",
    ),
    (
        "vba",
        "conn.Open \"Provider=MSOLEDBSQL;Data Source=sql1;User ID=app;Password=«password»;\"\nConst API_KEY As String = \"«secret»\"\n",
    ),
    (
        "mongo and cassandra shells",
        "> db.createUser({user: \"app\", pwd: \"«password»\", roles: [\"readWrite\"]})\n> db.auth(\"app\", \"«password»\")\ncqlsh> CREATE ROLE app WITH PASSWORD = '«password»' AND LOGIN = true;\nmysql> CREATE USER 'app'@'%' IDENTIFIED BY '«password»';\nmysql> SET PASSWORD FOR 'app'@'%' = '«password»';\npostgres=# ALTER ROLE app WITH LOGIN PASSWORD '«password»';\nmssql> CREATE LOGIN app WITH PASSWORD = N'«password»', CHECK_POLICY = ON;\n",
    ),
    (
        "mail headers",
        "Received: from mail.contoso.com (mail.contoso.com [10.0.0.9]) by mx.litware.eu with ESMTPS id 4Xk2Lm0z8Pz3x\nFrom: Ann Jones <«email»>\nTo: \"Bob Kent\" <«email»>, «email»\nReply-To: =?utf-8?Q?Ann?= <«email»>\nMessage-ID: <20260307175153.GA48211@mail.contoso.com>\nSubject: invoice 48211\n\nCard «card», valid until 12/28. Call «phone».\n",
    ),
    (
        "journal",
        "Mar 07 17:51:53 web1 sudo[4711]: ops : TTY=pts/0 ; PWD=/home/ops ; USER=root ; COMMAND=/usr/bin/mysql -uroot -p«password»\nMar 07 17:51:54 web1 api[4712]: level=info msg=\"login\" user=«email» session_token=«secret» dur=12ms\nMar 07 17:51:55 web1 kernel: usb 1-1: SerialNumber: 0000:00:14.0\n",
    ),
    (
        "personnel csv",
        "employee_id;full_name;email;phone;ssn;iban;dob\n1;Ann Jones;«email»;«phone»;«ssn»;«iban»;«dob»\n2;Bob Kent;«email»;«phone»;«ssn»;«iban»;«dob»\n",
    ),
    (
        "python dictionary",
        "{'user': 'app', 'password': '«password»', 'email': '«email»', 'ids': [1, 2, 3]}\nSettings(database_password=SecretStr('«password»'), api_token='«secret»')\nos.environ[\"SECRET_KEY\"] = \"«secret»\"\nrequests.get(url, auth=(\"app\", \"«password»\"))\n",
    ),
    (
        "sql insert and copy",
        "CREATE TABLE public.users (id integer, email text, password_hint text, phone text);\nCOPY public.users (id, email, password, phone) FROM stdin;\n1\t«email»\t«password»\t«phone»\n2\t«email»\t«password»\t«phone»\n\\.\nINSERT INTO accounts (id, iban, card_number) VALUES (1, '«iban»', '«card»'), (2, '«iban»', '«card»');\n",
    ),
    (
        "csv with cells of several lines",
        "id,name,notes,email,password,ssn\n1,Ann Jones,\"asked twice\n\nabout the invoice, and so on\",«email»,«password»,«ssn»\n2,Bob Kent,\"line one\nline two, with a \"\"quote\"\"\",«email»,«password»,«ssn»\n3,Eve,plain,«email»,«password»,«ssn»\n",
    ),
    (
        "nuget api keys and sonar",
        "<configuration>\n  <apikeys>\n    <add key=\"https://packages.contoso.com/v3/index.json\" value=\"«secret»\" />\n    <add key=\"https://www.nuget.org\" value=\"«secret»\" />\n  </apikeys>\n</configuration>\nsonar.host.url=https://sonar.contoso.com\nsonar.login=«hexkey»\n",
    ),
    (
        "phoenix endpoint and lua",
        "config :shop, ShopWeb.Endpoint, live_view: [signing_salt: \"«password»\"], url: [host: \"contoso.com\"]\nlocal config = {\n  host = \"db.internal\",\n  password = [[«password»]],\n  token = [==[«secret»]==],\n}\n",
    ),
    (
        "redis access rules",
        "user default off nopass ~* &* -@all\nuser app on >«password» ~app:* +@read +@write\n127.0.0.1:6379> ACL SETUSER ann on >«password» ~* +@all\n127.0.0.1:6379> AUTH default «password»\n127.0.0.1:6379> CONFIG GET requirepass\n1) \"requirepass\"\n2) \"«password»\"\n",
    ),
    (
        "cloud-init accounts",
        "#cloud-config\nchpasswd:\n  expire: false\n  list: |\n    root:«password»\n    ops:«password»\n    deploy:RANDOM\nssh_pwauth: true\n",
    ),
    (
        "pgbouncer users",
        "\"app\" \"«password»\"\n\"reporting\" \"«password»\"\n",
    ),
    (
        "ticket in german",
        "Betreff: Zugang gesperrt\nKunde: Max Mustermann, geboren am «dob»\nKennwort: «password»\nDas Passwort lautet «password», bitte zurücksetzen.\nPasswort für den Testserver: «password»\nGeburtsdatum: «dob»\nReisepassnummer: «passport»\n",
    ),
    (
        "ticket in french and dutch",
        "Mot de passe : «password»\nLe mot de passe est «password», merci de le changer.\nDate de naissance : «dob»\nNuméro de passeport : «passport»\nWachtwoord: «password»\nHet wachtwoord is «password», graag wijzigen.\nGeboortedatum: «dob»\nPaspoortnummer: «passport»\n",
    ),
    (
        "ticket in spanish and portuguese",
        "Contraseña: «password»\nLa contraseña es «password», por favor cámbiela.\nFecha de nacimiento: «dob»\nNúmero de pasaporte: «passport»\nSenha: «password»\nA senha é «password», por favor altere.\nid,nombre,contraseña,fecha_nacimiento,pasaporte\n1,Ana,«password»,«dob»,«passport»\n",
    ),
    (
        "boxes",
        "┌────┬──────────────┬─────────────┐\n│ id │ passport_no  │ password    │\n├────┼──────────────┼─────────────┤\n│  1 │ «passport» │ «password» │\n│  2 │ «passport» │ «password» │\n└────┴──────────────┴─────────────┘\n",
    ),
    (
        "columns as wide as their rulers",
        "id          login_name           password                         dob\n----------- -------------------- -------------------------------- ----------\n          1 ann                  «password» «dob»\n          2 bob                  «password» «dob»\n",
    ),
    (
        "html table with headers",
        "<table border=\"1\">\n  <thead>\n    <tr>\n      <th>id</th>\n      <th>password</th>\n      <th>dob</th>\n    </tr>\n  </thead>\n  <tr valign=\"top\">\n    <td align=\"right\">1</td>\n    <td align=\"left\">«password»</td>\n    <td align=\"left\">«dob»</td>\n  </tr>\n</table>\n<table><tr><th>user</th><th>password</th></tr><tr><td>ann</td><td>«password»</td></tr></table>\n",
    ),
    (
        "html names and values",
        "<dl>\n  <dt>Password</dt><dd>«password»</dd>\n  <dt>Passport number</dt>\n  <dd>«passport»</dd>\n</dl>\n<table>\n<tr><th>Username</th><td>ann</td></tr>\n<tr><th>Password</th><td>«password»</td></tr>\n<tr><td><b>Date of birth</b></td><td>«dob»</td></tr>\n</table>\n<input type=\"password\" id=\"pw\" value=\"«password»\" name=\"f1\"/>\n",
    ),
    (
        "latex columns",
        "\\begin{tabular}{lll}\nUser & Password & DOB \\\\\nann & «password» & «dob» \\\\\n\\end{tabular}\n",
    ),
    (
        "names and values in a table",
        "| Field | Value |\n|-------|-------|\n| Username | ann |\n| Password | «password» |\n| Passport number | «passport» |\n\nname,value\nDB_HOST,db.internal\nDB_PASSWORD,«password»\nAPI_TOKEN,«secret»\n",
    ),
    (
        "csv with spaces",
        "id, name, password, dob\n1, Ann, «password», «dob»\n2, Bob, «password», «dob»\n",
    ),
    (
        "xml with names in attributes",
        "<property name=\"hibernate.connection.password\">«password»</property>\n<entry key=\"db.password\">«password»</entry>\n<setting name=\"ApiKey\" serializeAs=\"String\"><value>«hexkey»</value></setting>\n<string name=\"client_secret\">«hexkey»</string>\n<setting name=\"Timeout\"><value>30</value></setting>\n",
    ),
    (
        "plist, cdata and lines of their own",
        "<key>Password</key>\n<string>«password»</string>\n<password><![CDATA[«password»]]></password>\n<config>\n  <password>\n    «password»\n  </password>\n</config>\n<AdministratorPassword>\n  <Value>«password»</Value>\n</AdministratorPassword>\n",
    ),
    (
        "labels above their values",
        "Password:\n«password»\n\nAPI key:\n«hexkey»\n\nDate of birth:\n«dob»\n",
    ),
    (
        "labels and leaders",
        "Full name .......... Ann Jones\nPassword ........... «password»\nPassport number .... «passport»\nAPI Key\t«hexkey»\nPassport no.: «passport»\n",
    ),
    (
        "values of typed stores",
        "{\"Item\": {\"id\": {\"S\": \"u1\"}, \"password\": {\"S\": \"«password»\"}, \"dob\": {\"S\": \"«dob»\"}, \"passport_no\": {\"S\": \"«passport»\"}}}\n{\"password\":{\"string\":\"«password»\"},\"birthDate\":{\"stringValue\":\"«dob»\"}}\n",
    ),
    (
        "columns as arrays",
        "{\"id\": [1, 2], \"password\": [\"«password»\", \"«password»\"], \"dob\": [\"«dob»\", \"«dob»\"], \"passport_no\": [\"«passport»\", \"«passport»\"]}\n",
    ),
    (
        "which key is there already",
        "ERROR:  duplicate key value violates unique constraint \"people_key\"\nDETAIL:  Key (passport_no)=(«passport») already exists.\nDETAIL:  Key (ssn, dob)=(«ssn», «dob») already exists.\n",
    ),
    (
        "php dumps and erlang terms",
        "array(1) {\n  [\"password\"]=>\n  string(12) \"«password»\"\n}\n{password, \"«password»\"}.\n[{rabbit, [{default_pass, <<\"«password»\">>}]}].\n",
    ),
    (
        "yaml with parameters and arguments",
        "Parameters:\n  DBPassword:\n    Type: String\n    NoEcho: true\n    Default: «password»\nargs:\n  - --password\n  - «password»\n  - --host\n  - db\npasswords:\n  - «password»\n  - «password»\npassword: !!str «password»\n",
    ),
    (
        "defaults in program text",
        "const pw = process.env.DB_PASSWORD || '«password»';\nconst key = process.env.API_KEY ?? \"«hexkey»\";\nparam adminPassword string = '«password»'\nMYSQL_PASSWORD=${MYSQL_PASSWORD:-«password»}\n",
    ),
    (
        "calls with a name and a value",
        "props.setProperty(\"db.password\", \"«password»\");\nnew UsernamePasswordCredentials(\"ann\", \"«password»\")\nCredentials.basic(\"ann\", \"«password»\")\nserver.login(\"ann\", \"«password»\")\ncx_Oracle.connect(\"app\", \"«password»\", \"ora/shop\")\n",
    ),
    (
        "tests of a login",
        "cy.get('#password').type('«password»');\nawait page.fill('input[name=\"password\"]', '«password»');\ndriver.find_element(By.ID, \"password\").send_keys(\"«password»\")\ncy.get('#password').should('be.visible');\n",
    ),
    (
        "more commands",
        "curl --user \"ann:«password»\" https://api.contoso.com\nhttp -a ann:«password» GET https://api.contoso.com/items\nevil-winrm -i 10.0.0.1 -u ann -p «password»\nkeytool -storepass «password» -list\necho \"«password»\" | docker login -u ci --password-stdin\nsqlplus -s sys/«password»@shop as sysdba\ndocker run -u 1000 -p 8080:80 nginx\n",
    ),
    (
        "switches",
        "hostname r1\nenable secret 0 «password»\nenable password «password»\nusername admin privilege 15 password 0 «password»\nusername ops secret «password»\n",
    ),
    (
        "ldif in base64",
        "dn: uid=ann,ou=people,dc=contoso,dc=com\nuserPassword:: «b64password»\n",
    ),
    (
        "columns and rows of a query service",
        "{\"tables\":[{\"name\":\"PrimaryResult\",\"columns\":[{\"name\":\"TimeGenerated\",\"type\":\"datetime\"},{\"name\":\"password\",\"type\":\"string\"},{\"name\":\"DateOfBirth\",\"type\":\"datetime\"},{\"name\":\"DurationMs\",\"type\":\"long\"}],\"rows\":[[\"2026-03-07T17:51:53Z\",\"«password»\",\"«dob»\",512],[\"2026-03-07T17:51:54Z\",\"«password»\",\"«dob»\",5123]]}]}",
    ),
    (
        "columns and rows over many lines",
        "{\n  \"columns\": [\n    {\n      \"name\": \"id\",\n      \"type\": \"long\"\n    },\n    {\n      \"name\": \"passport_number\",\n      \"type\": \"text\"\n    }\n  ],\n  \"rows\": [\n    [\n      1,\n      \"«passport»\"\n    ],\n    [\n      2,\n      \"«passport»\"\n    ]\n  ]\n}",
    ),
    (
        "columns by name and rows",
        "{\"columns\": [\"id\", \"password\", \"dob\"], \"index\": [0, 1], \"data\": [[1, \"«password»\", \"«dob»\"], [2, \"«password»\", \"«dob»\"]]}",
    ),
    (
        "columns as fields and rows as objects",
        "{\"schema\":{\"fields\":[{\"name\":\"id\",\"type\":\"INTEGER\"},{\"name\":\"password\",\"type\":\"STRING\"},{\"name\":\"passport\",\"type\":\"STRING\"}]},\"rows\":[{\"f\":[{\"v\":\"1\"},{\"v\":\"«password»\"},{\"v\":\"«passport»\"}]},{\"f\":[{\"v\":\"2\"},{\"v\":\"«password»\"},{\"v\":\"«passport»\"}]}],\"totalRows\":\"2\"}",
    ),
    (
        "columns and rows in a string",
        "{\"content\":[{\"type\":\"text\",\"text\":\"{\\\"columns\\\":[\\\"id\\\",\\\"password\\\",\\\"dob\\\"],\\\"rows\\\":[[1,\\\"«password»\\\",\\\"«dob»\\\"],[2,\\\"«password»\\\",\\\"«dob»\\\"]]}\"}],\"isError\":false}",
    ),
    (
        "columns that promise nothing",
        "{\"indexes\":[{\"columns\":[\"email\"],\"name\":\"ix\"}],\"stats\":[[1,2],[2024,2025]],\"columns\":[\"key\",\"value\"],\"rows\":[[\"cpu\",\"0.93\"],[\"dob\",\"n/a\"]]}",
    ),
    (
        "logins that are told",
        "creds are app:«password» for the reporting box\nthe login is deploy:«password», ping me\ncreds: admin / «password»\ncredentials:\n  root:«password»\n  deploy:«password»\nDefault logins:\nadmin:«password»\nops:«password»\n\nlogins:\n  total: 4821\nThe credentials are in the vault: see wiki page 12:30.\n",
    ),
    (
        "names and values of commands",
        "curl --user=ann:«password» https://api.contoso.com/v1/items\ncurl -uann:«password» https://api.contoso.com/v1/items\nrman target sys/«password»@orcl catalog rc/«password»@rcat\nexpdp system/«password»@prod schemas=crm\nimpdp system/«password» schemas=crm\nimpdp help=y\nsort -u a:1 b:2\n",
    ),
    (
        "network devices",
        "hostname core1\nsnmp-server community «password» RO 10\nsnmp-server location Delft\nip community-list 10 permit 65000:120\ntacacs-server key 7 «password»\nradius-server host 10.0.0.9 auth-port 1812 key «password»\ncrypto isakmp key «password» address 203.0.113.9\nset password ENC «secret»\nrocommunity «password» 10.0.0.0/8\nsnmpwalk -v2c -c «password» 10.0.0.4 sysDescr\n",
    ),
    (
        "hooks of any host",
        "notify: https://chat.contoso.com/hooks/«hook»\nPOST /webhook/«hook» HTTP/1.1\nhttps://app.contoso.com/invite/«hook»\nsrc/hooks/useAuthToken2Provider.ts\nhttps://docs.contoso.com/webhooks/webhook-events-and-payloads\nGET /webhooks/8f14e45fceea167a5a36dedd4bea2543/deliveries\nGET /hooks/7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001\n",
    ),
    (
        "numbered and noted names",
        "Unseal Key 1: «secret»\nUnseal Key 2: «secret»\nPassword (temporary): «password»\nPassport (NL): «passport»\nPassport #: «passport»\npassword - «password»\nKey 1: description of the first key\n",
    ),
    (
        "tabs without a header",
        "WEBSITE_NODE_VERSION\tFalse\t~22\nDB_PASSWORD\tFalse\t«password»\nAPI_KEY\tTrue\t«hexkey»\nSMTP_PORT\tFalse\t587\n",
    ),
    (
        "php serialized",
        "a:4:{s:4:\"user\";s:3:\"ann\";s:8:\"password\";s:12:\"«password»\";s:3:\"dob\";s:10:\"«dob»\";}\nuser_id|i:42;auth_token|s:32:\"«hexkey»\";lang|s:2:\"nl\";\na:2:{s:8:\"password\";N;s:5:\"token\";s:0:\"\";}\n",
    ),
    (
        "parameters before a value",
        "BDAY;VALUE=date:«dob»\nBDAY;VALUE=date-and-or-time:«dob8»\nDTSTART;VALUE=DATE:20260307\nD.O.B.: «dob»\nD.O.B. «dob»\n",
    ),
    (
        "fhir",
        "{\"resourceType\":\"Patient\",\"identifier\":[{\"type\":{\"coding\":[{\"system\":\"http://terminology.hl7.org/CodeSystem/v2-0203\",\"code\":\"PPN\"}]},\"value\":\"«passport»\"},{\"type\":{\"coding\":[{\"code\":\"MR\"}]},\"value\":\"MRN00412\"}],\"birthDate\":\"«dob»\"}",
    ),
    (
        "x12",
        "ISA*00*          *00*          *ZZ*SENDER\nNM1*IL*1*JONES*ANN****MI*W123456789~\nDMG*D8*«dob8»*F~\nDTP*472*D8*20260307~\n",
    ),
    (
        "results of tests",
        "=== RUN   TestName2\n--- PASS: TestName2 (0.00s)\nPASS: TestName2 (0.00s)\nPASS: libfoo/test-1.sh\nXPASS: tests/a2.sh\nPASS: Login.Valid User2\nPASS: suite::token2\nPOWER_PW=1200\nMAX_PW=5\n\"password\": \"VALUE_SPECIFIED_IN_NO_LOG_PARAMETER\"\nvalue = (sensitive value)\nuint64_t key1 = 0x9e3779b97f4a7c15;\n\"Env\":[\"GPG_KEY=E3FF2839C048B25C084DEBE9B26995E310250568\"],\"SandboxKey\":\"/var/run/docker/netns/0d9f0c1e52aa\"\n00000010  03 00 3e 00 01 00 00 00  40 10 00 00\nNato was founded on 4 April 1949.\n",
    ),
    (
        "csv with other delimiters",
        "id~name~password~dob\n1~Ann Jones~«password»~«dob»\n2~Bob Kent~«password»~«dob»\n\nid^name^passport_no\n1^Ann^«passport»\n\n'id','name','password'\n'1','Ann Jones','«password»'\n",
    ),
    (
        "secrets of a dial-up server",
        "# client\tserver\tsecret\tIP addresses\nann\t*\t«password»\t*\nbob\tvpn1\t\"«password»\"\t10.0.0.5\n",
    ),
    (
        "table of a wiki",
        "||User||Password||DOB||\n|ann|«password»|«dob»|\n|bob|«password»|«dob»|\n",
    ),
    (
        "a driver's braces",
        "Driver={ODBC Driver 18 for SQL Server};Server=sql1;UID=app;PWD={«password»;}}x};Encrypt=yes\nrootpw «password»\nbindpw «password»\n$pw = '«password»'\nGET /login?user=ann&pw=«apassword»\nServer=x;pw=«apassword»;\n{pw:'«password»'}\n<pw>«apassword»</pw>\n",
    ),
    (
        "parts of dates",
        "[{'id': 1, 'created': datetime.date(2026, 3, 7)}]\ndob: ISODate('«dob»T00:00:00Z'),\nbirthdate=«dob»&page=2\nbirth_dt,home_tel\n«dob»,n/a\n",
    ),
    (
        "arguments of a container",
        "    Args:\n      --listen\n      0.0.0.0:8080\n      --token\n      «secret»\n    State:          Running\n",
    ),
    (
        "rows of which the first has the names",
        "{\"range\":\"A1:D3\",\"values\":[[\"id\",\"login\",\"password\",\"dob\"],[\"1\",\"ann\",\"«password»\",\"«dob»\"],[\"2\",\"bob\",\"«password»\",\"«dob»\"]]}\n[[\"id\",\"passport_no\"],[1,\"«passport»\"]]\n{\"series\":[[\"time\",\"tokens\"],[\"2026-03-07\",51]]}\n",
    ),
    (
        "names above their values as on paper",
        "Full name\nAnn Jones\nDate of birth\n«dob»\nPassport number\n«passport»\nPassport\nPage 2 of 4\n",
    ),
    (
        "documents by their type",
        "{\"event\":\"kyc\",\"data\":{\"document\":{\"type\":\"passport\",\"number\":\"«passport»\"},\"order\":{\"type\":\"online\",\"number\":\"C1VT20260\"}}}\n",
    ),
    (
        "frame with numbered rows",
        "   id     login        password         dob\n0   1       ann   «password»  «dob»\n1   2       bob    «password»   «dob»\n",
    ),
    (
        "dates of several words",
        "BDAY:«dobwords»\nkyc ok dob=«dobwords» country=NL\nborn: «dobwords», Delft\n",
    ),
    (
        "columns described apart",
        "{\"resultSetMetaData\":{\"numRows\":2,\"format\":\"jsonv2\",\"rowType\":[{\"name\":\"ID\",\"database\":\"CRM\",\"scale\":0,\"type\":\"fixed\"},{\"name\":\"PASSWORD\",\"database\":\"CRM\",\"type\":\"text\"},{\"name\":\"DOB\",\"type\":\"date\"}]},\"data\":[[\"1\",\"«password»\",\"«dob»\"],[\"2\",\"«password»\",\"«dob»\"]],\"code\":\"090001\"}\n{\"ColumnInfo\":[{\"Name\":\"id\"},{\"Name\":\"login\"}],\"Rows\":[[\"1\",\"ann2026\"],[\"2\",\"bob2026\"]]}\n{\n  \"rowType\": [\n    {\n      \"name\": \"ID\"\n    },\n    {\n      \"name\": \"PASSPORT_NO\"\n    }\n  ],\n  \"data\": [\n    [\n      \"1\",\n      \"«passport»\"\n    ]\n  ]\n}\n",
    ),
    (
        "rows before their columns",
        "{\"data\":{\"rows\":[[1,\"«password»\",\"«dob»\"],[2,\"«password»\",\"«dob»\"]],\"cols\":[{\"name\":\"id\",\"display_name\":\"ID\"},{\"name\":\"password\"},{\"name\":\"date_of_birth\"}]},\"status\":\"completed\",\"row_count\":2}\n{\"rows\":[[1,\"ann\",\"«password»\"],[2,\"bob\",\"«password»\"]],\"columns\":[\"id\",\"login\",\"password\"],\"took\":5}\n{\"shape\":[[1,\"ann-2026\"],[2,\"bob-2026\"]],\"columns\":[\"id\",\"label\"]}\n",
    ),
    (
        "rows of JSON below their names",
        "[\"id\",\"login\",\"password\",\"dob\"]\n[1,\"ann\",\"«password»\",\"«dob»\"]\n[2,\"bob\",\"«password»\",\"«dob»\"]\n\n[\"id\",\"password\"]\n[\"UInt64\",\"String\"]\n[1,\"«password»\"]\n\n[\"passwords\",\"tokens\"]\n[1, 2, 3]\n",
    ),
    (
        "tuples below their columns",
        "columns: (id, login, password, dob)\n(1, 'ann', '«password»', '«dob»')\n(2, 'bob', '«password»', '«dob»')\n\n['id', 'login', 'passport_no']\n>>> cur.fetchall()\n[(1, 'ann', '«passport»'), (2, 'bob', '«passport»')]\n\ncolumns: [id, login, password]\nrows:\n  - [1, ann, «password»]\n  - [2, bob, «password»]\ndef login(self, user, password, timeout):\n    (1, 'ann2026', 'x', 3)\n",
    ),
    (
        "tables in strings",
        "{\"id\":\"call_1\",\"output\":\"| id | login | password | dob |\\n|----|-------|----------|-----|\\n| 1 | ann | «password» | «dob» |\\n| 2 | bob | «password» | «dob» |\\n\"}\n{\"role\":\"tool\",\"content\":\"id,login,password,dob\\n1,ann,«password»,«dob»\\n2,bob,«password»,«dob»\\n\",\"tool_call_id\":\"c1\"}\n{\"stdout\":\"id\\tpassword\\tdob\\n1\\t«password»\\t«dob»\\n\",\"exit_code\":0}\n{\"result\":\"{\\\"stdout\\\":\\\" id | password  | dob\\\\n----+-----------+-----\\\\n  1 | «password» | «dob»\\\\n\\\"}\"}\n{'content': 'login,password\\nann,«password»\\n'}\n{\"text\":\"Total passwords\\nrotated: 51\\nKeys kept, 12\\n\"}\n",
    ),
    (
        "lines of a notebook in strings",
        r#"{"cells":[{"cell_type":"code","source":["import psycopg2\n","conn = psycopg2.connect(host='db', password='«password»')\n"],"outputs":[{"data":{"text/plain":["   id  login      password\n","0   1    ann  «password»\n"]}}]}]}"#,
    ),
    (
        "notebook",
        r#"{
 "cells": [
  {
   "cell_type": "code",
   "outputs": [
    {
     "data": {
      "text/plain": [
       "   id  login      password         dob\n",
       "0   1    ann  «password»  «dob»\n",
       "1   2    bob  «password»  «dob»"
      ]
     }
    }
   ],
   "source": [
    "password = '«password»'\n",
    "frame.head()"
   ]
  }
 ],
 "nbformat": 4
}"#,
    ),
    (
        "questions and answers",
        "[17:51] ann: what is the password for the vpn?\n[17:52] bob: «password»\n[17:53] ann: thanks\n\nQ: What is your password?\nA: «password»\nQ: What is your passport number?\nA: It's «passport»\nQ: When were you born?\nA: «dob»\n\nAnn Jones\nCan you send me the root password?\n\n[09:42] Bob Kent\nsure, «password»\nAnn: what is the password policy?\nBob: at least 14 characters, see wiki page 12\nAnn: which token do we use?\nBob: the one in vault-2026/ci\n",
    ),
    (
        "sessions by their name",
        "session=«cookie»\nsession: «cookie»\nGET /app?session=«cookie» HTTP/1.1\nsession: 7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001\nsession=closed\npam_unix(sshd:session): session opened for user deploy\n",
    ),
    (
        "links for one time",
        "https://app.contoso.com/reset-password/«hook»\nhttps://app.contoso.com/password/reset/«secret»?lang=nl\nhttps://app.contoso.com/magic-link/«hook»\nhttps://app.contoso.com/verify-email/«hook»\nhttps://app.contoso.com/unsubscribe/«hook»\nhttps://app.contoso.com/invitations/«hook»/accept\nhttps://app.contoso.com/accounts/reset/Mg/«hook»/\nhttps://docs.contoso.com/reset/reset-your-password-in-three-steps\nhttps://app.contoso.com/verify/7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001\nsrc/reset/ResetPasswordFormV2Component.tsx\nhttps://app.contoso.com/share/quarterly-report-2026-q3-final\n",
    ),
    (
        "accounts of database tools",
        "sqlldr userid=scott/«password»@orcl control=load.ctl log=load.log\nexp userid=system/«password» full=y file=exp.dmp\nimp system/«password»@prod file=exp.dmp\nsqlplus -s \"scott/«password»@orcl\" @run.sql\nsqlcl scott/«password»@orcl\nconn scott/«password»\nSQL> conn scott/«password»@orcl\nimp prod/tables@latest is documented\nuserid=48211\n",
    ),
    (
        "agents of a network",
        "trapsink 10.0.0.4 «password»\ntrap2sink 10.0.0.5 «password» 162\ncom2sec readonly default «password»\ncom2sec6 readwrite 10.0.0.0/8 «password»\ntrapsink 10.0.0.4 public\nsnmp-server host 10.0.0.7 version 2c «password»\nsnmp-server host 10.0.0.7 traps «password»\ncreateUser ops SHA \"«password»\" AES \"«password»\"\nsnmp-server user ops grp v3 auth sha «password» priv aes 128 «password»\nsnmpget -v3 -u ops -A «password» -X «password» -a SHA 10.0.0.4\nThe sink writes to the underlying stream2.\n",
    ),
    (
        "tunnel with its keys",
        "client\nremote vpn.contoso.com 1194\n<auth-user-pass>\nann\n«password»\n</auth-user-pass>\nkey-direction 1\n<tls-auth>\n-----BEGIN OpenVPN Static key V1-----\n«vpnkey»\n-----END OpenVPN Static key V1-----\n</tls-auth>\n",
    ),
    (
        "secrets of a gateway",
        "ann : EAP \"«password»\"\nbob : XAUTH \"«password»\"\n: PSK \"«password»\"\n# client  server  secret  IP addresses\n\"ann\" * \"«password»\" *\nbob * «password» *\n",
    ),
    (
        "numbers to call between companies",
        "UNB+UNOC:3+SENDER+RECEIVER+260307:1751+REF0001'\nCTA+IC+:Ann Jones'\nCOM+«calls»:TE'\nCOM+«calls»:FX'\nCOM+«email»:EM'\nCOM+n/a:TE'\n",
    ),
    (
        "statements and what they were given",
        "sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) connection failed\n[SQL: INSERT INTO users (login, password, dob) VALUES (%(login)s, %(password)s, %(dob)s)]\n[parameters: ('ann', '«password»', '«dob»')]\n2026-03-07 17:51:53 UTC [51] LOG:  execute <unnamed>: UPDATE users SET password = $1, dob = $2 WHERE id = $3\n2026-03-07 17:51:53 UTC [51] DETAIL:  parameters: $1 = '«password»', $2 = '«dob»', $3 = '51'\nHibernate: insert into users (dob, login, password) values (?, ?, ?)\nbinding parameter [1] as [DATE] - [«dob»]\nbinding parameter [2] as [VARCHAR] - [ann2026]\nbinding parameter [3] as [VARCHAR] - [«password»]\nINSERT INTO users\n  (id, login, password)\nVALUES\n  (1, 'ann2026', '«password»'),\n  (2, 'bob2026', '«password»');\n",
    ),
    (
        "tables of other markups",
        "|_. Login |_. Password |_. DOB |\n| ann | «password» | «dob» |\n\n{| class=\"wikitable\"\n! Login !! Password !! DOB\n|-\n| ann || «password» || «dob»\n|}\n\n{|\n! Login\n! Password\n|-\n| ann2026\n| «password»\n|}\n\n|===\n|Login |Password |DOB\n\n|ann2026\n|«password»\n|«dob»\n|===\n\n\\begin{tabular}{|l|l|l|}\nLogin & Password & DOB \\\\ \\hline\nann & «password» & «dob» \\\\ \\hline\n\\end{tabular}\n\n|*Host*|*User*|*Password*|\n|db1|app2026|«password»|\n",
    ),
    (
        "ruler that says more than its header",
        "Login Password                 DOB\n----- --------                 ---\nann   «password»\nbob   «password»\n\nName Count         Ratio\n---- -----         -----\nann  12            3.5\n",
    ),
    (
        "forms in more languages",
        "Handynummer: «phone»\nMobiltelefon: «phone»\ngeb. «dob» in Bremen\nTéléphone : «phone»\nTél. : «phone»\nTeléfono móvil: «phone»\nCelular: «phone»\nCellulare: «phone»\nTelefoonnummer: «phone»\nPalavra-passe: «password»\nAdgangskode: «password»\nSalasana: «password»\nFödelsedatum: «dob»\nPassport: «passport» (NLD)\nD/O/B: «dob»\nContact number: «phone»\nlevel: 4821001\nttl: 604800\n",
    ),
    (
        "lists of two",
        "[[\"X-Api-Key\",\"«hexkey»\"],[\"Accept\",\"*/*\"]]\nheaders: [('x-api-key', '«hexkey»'), ('accept', 'text/html')]\n[\"password\",\"token2\"]\n(\"password\", \"required\")\n",
    ),
    (
        "columns with an index",
        "{\"login\":{\"0\":\"ann\",\"1\":\"bob\"},\"password\":{\"0\":\"«password»\",\"1\":\"«password»\"},\"dob\":{\"0\":\"«dob»\",\"1\":\"«dob»\"}}\n{'password': {0: '«password»', 1: None}, 'visits': {0: 1201, 1: 1317}}\n",
    ),
    (
        "elements beside each other",
        "<label>Passport number</label><span>«passport»</span>\n<div class=\"row\"><span class=\"label\">Password</span><span class=\"value\">«apassword»</span></div>\n<p>Your password is <b>«apassword»</b></p>\n{\"html\":\"<table><tr><th>Login</th><th>Password</th></tr><tr><td>ann</td><td>«password»</td></tr></table>\"}\n<h2>Password</h2><p>Choose one of at least 14 characters</p>\n<p>Password: <b>required</b></p>\n",
    ),
    (
        "configuration of more devices",
        "hostname core2\nneighbor 10.0.0.1 password «password»\nppp chap password 0 «password»\n pre-shared-key local «password»\n ikev1 pre-shared-key «password»\nkey-string «password»\naaa-server R host 10.0.0.1 key «password»\nstandby 1 authentication md5 key-string «password»\nset security ike policy p pre-shared-key ascii-text \"«password»\"\nwpa-psk ascii 0 «password»\nset password-encryption aes\nneighbor 10.0.0.1 remote-as 65001\n",
    ),
    (
        "commands that keep a secret",
        "az keyvault secret set --vault-name kv --name db-password --value «password»\naws ssm put-parameter --name /db/password --value «password» --type SecureString\ngh secret set DB_PASSWORD --body «password»\nsmbclient //fs/share -U ann%«percentless»\nlftp -u ann,«password» sftp://files.contoso.com\nisql -U app -P«password»\ntest: [\"CMD\", \"redis-cli\", \"-a\", \"«password»\", \"ping\"]\n$ gcloud secrets versions access latest --secret=db-password\n«password»\nset -gx API_TOKEN «secret»\njq --arg x --value 2026-03 .\n",
    ),
    (
        "jars of cookies",
        "# Netscape HTTP Cookie File\n.contoso.com\tTRUE\t/\tTRUE\t1799999999\tsession\t«cookie»\napp.contoso.com\tFALSE\t/\tTRUE\t0\tsessionid\t«hexkey»\napp.contoso.com\tFALSE\t/\tTRUE\t0\tsession\tnone\n",
    ),
    (
        "parameters by key and value",
        "{\"Stacks\":[{\"Parameters\":[{\"ParameterKey\":\"DBPassword\",\"ParameterValue\":\"«password»\"},{\"ParameterKey\":\"Env\",\"ParameterValue\":\"prod-2026\"}],\"Outputs\":[{\"OutputKey\":\"ApiToken\",\"OutputValue\":\"«secret»\"}]}]}\n{\"Name\":\"prod/api\",\"SecretString\":\"«password»\",\"ARN\":\"arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/api-AbC3eF\"}\n##vso[task.setvariable variable=DB_PASSWORD;issecret=true]«password»\n+------------+------------------+\n| password   | «apassword» |\n| username   | ann2026          |\n+------------+------------------+\n",
    ),
    (
        "commands of a login",
        "220 ftp.contoso.com ready\nUSER ann\nPASS «apassword»\n17:51:53.100300 IP 10.0.0.4.51234 > 10.0.0.9.21: Flags [P.], length 18: FTP: PASS «apassword»\nPASS src/login2.test.ts\nPASS TestLogin2\n",
    ),
    (
        "headings and bold names",
        "### Password\n«apassword»\n\n**Password** «apassword»\n*Password:* «password»\n- Password — «apassword»\nLog in as ann with password «apassword»\nlogin bob pw «apassword»\nAPI key «hexkey»\nVPN pre-shared key: «password»\n### Password rotation\nEvery 90 days\n",
    ),
    (
        "numbers of things",
        "part 012 345 6789 is in stock\nSerial no. 030-123-4567\n{\"guild_id\": \"1021554437209161849\", \"channel_id\": \"620554437209161840\", \"author\": {\"id\": \"652050872383242248\"}}\nchannel 674431162263105542 has 12 messages\ntracking 555-123-4567\n",
    ),
    (
        "names and passwords in one",
        "Username/Password: ann2026/«apassword»\nlogin/password: carol2026 / «apassword»\nuser/pass: bob2026:«apassword»\n",
    ),
    (
        "defaults of lookups",
        "'password' => env('MYSQL_PW', '«spassword»'),\n  password: <%= ENV.fetch(\"X\", \"«spassword»\") %>\nsecret = ENV['X'] || '«bearer»'\nconfig.x.api_key = ENV.fetch('X_KEY') { '«bearer»' }\nSECRET_KEY = config(\"X\", default=\"«bearer»\")\npassword = os.environ.get(\"X\", \"«spassword»\")\nString pass = Optional.ofNullable(System.getenv(\"X\")).orElse(\"«spassword»\");\nlet pw = std::env::var(\"X\").unwrap_or(\"«spassword»\".to_string());\n@Value(\"${db.password:«apassword»}\")\npassword: ${SPRING_PW:-«spassword»}\npassword: \"{{ lookup('env','DB') | default('«spassword»', true) }}\"\nparser.add_argument(\"--password\", default=\"«spassword»\")\nparser.add_argument(\"--password\", required=True)\n'driver' => env('CACHE', 'file2026!'),\npassword = cfg.get(\"section1\", \"db_password1\")\npassword: ${ssm:/prod/db/password1}\npassword: ${self:custom.dbPassword1}\npassword: ${DB_PASSWORD:?must be set at 12:30}\n",
    ),
    (
        "several of a kind",
        "tokens = [\"«bearer»\", \"«hexkey»\"]\n{\"passwords\": [\"«spassword»\"], \"tokens\": {\"ann\": \"«apassword»\", \"count\": 2}}\nUSERS = {\"ann\": \"«spassword»\", \"home\": \"/home/ann\"}\n\"apiKeys\": {\n  \"ann\": \"«hexkey»\",\n  \"since\": \"2026-03-07T17:51:53Z\"\n},\n\"passwords\": [\n  \"«spassword»\",\n  \"«spassword»\"\n]\n\"headers\": [\n  \"x-api-key\",\n  \"«hexkey»\"\n]\n\"tokens\": [\"the\", \"##ing\", \"2026-03-07\", \"don't\"]\n\"keyCredentials\": [\n  {\n    \"customKeyIdentifier\": \"F990E1937209E411FA06A31FF0871C2EF506A1E5\"\n  }\n]\nmax_tokens: 4096\nsecrets: [\"db-prod-2026\", \"api_key2\"]\n",
    ),
    (
        "names under credentials",
        "credentials:\n  ann: «spassword»\n  region: eu-west-1\n  algorithm: SHA256withRSA\n  created: 2026-03-07T10:00:00Z\nusers:\n  ann: «spassword»\n  bob: admin2\n  image: quay.io/x/y:v1.2.3\nauth:\n  basic: ann:«spassword»\n  bearer: «bearer»\nplans:\n  basic: plan:pro2026\n[passwords]\nroot = \"«spassword»\"\n[limits]\nroot = \"10GB!soft\"\n",
    ),
    (
        "secrets of kubernetes",
        "apiVersion: v1\ndata:\n  mango: «b64apassword»\n  username: YWRtaW4yMDI2\n  ca.crt: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUN5\n  mode: cHJvZHVjdGlvbg==\nkind: Secret\nmetadata:\n  resourceVersion: \"1234567\"\n---\napiVersion: v1\nkind: Secret\nstringData:\n  mango: «spassword»\n  host: db1.internal\n---\napiVersion: v1\nkind: ConfigMap\ndata:\n  mango: red2026!abc\n",
    ),
    (
        "secrets of kubernetes in json",
        "{\"apiVersion\":\"v1\",\"data\":{\"mango\":\"«b64apassword»\",\"host\":\"ZGIxLmludGVybmFs\"},\"kind\":\"Secret\"}\n{\"apiVersion\":\"v1\",\"data\":{\"mango\":\"red2026!abc\"},\"kind\":\"ConfigMap\"}\n{\n    \"apiVersion\": \"v1\",\n    \"data\": {\n        \"mango\": \"«b64apassword»\",\n        \"user\": \"YWRtaW4yMDI2\"\n    },\n    \"kind\": \"Secret\"\n}\n",
    ),
    (
        "literals of calls",
        "static char api_key[] = \"«hexkey»\";\nchar password[64] = \"«spassword»\";\nstd::string token{\"«bearer»\"};\n#define DB_PASS \"«spassword»\"\ncurl_easy_setopt(c, CURLOPT_USERPWD, \"ann:«spassword»\");\ncurl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, \"«bearer»\");\nmysql_real_connect(c, \"h\", \"root\", \"«spassword»\", \"db\", 0, NULL, 0);\n.bearer_auth(\"«bearer»\")\n.basic_auth(\"ann\", Some(\"«spassword»\"))\n[dict setObject:@\"«spassword»\" forKey:@\"password\"];\ndefaults.set(\"«bearer»\", forKey: \"token\")\nbuildConfigField(\"String\", \"API_KEY\", \"\\\"«bearer»\\\"\")\npublic string ApiSecret { get; set; } = \"«bearer»\";\nftp_login($c, \"ann\", \"«spassword»\");\nsmtp.PlainAuth(\"\", \"ann\", \"«spassword»\", \"mail\")\nnew ClientSecretCredential(\"7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001\", \"7d9f0c1e-52aa-4f0c-9d0e-0e6e1cb7a001\", \"«bearer»\");\nNew-LocalUser -Name x -Password (\"«spassword»\" | ConvertTo-SecureString -AsPlainText -Force)\nrabbitmqctl change_password ann «spassword»\nif (password[0] == 'x') return;\nbuildConfigField(\"String\", \"API_URL\", \"\\\"https://x.invalid/v2\\\"\")\ndefaults.set(true, forKey: \"hasPassword\")\n",
    ),
    (
        "names in attributes and suffixes",
        "<meta name=\"api-key\" content=\"«hexkey»\">\n<meta name=\"description\" content=\"Reset your password 24/7!\">\n<string name=\"maps_api_key\" translatable=\"false\">«hexkey»</string>\n<string name=\"password_hint\" translatable=\"false\">Enter 8+ characters</string>\n\t<key>Password</key><string>«spassword»</string>\nset system root-authentication plain-text-password-value \"«spassword»\"\n{\"Portal_Password__c\": \"«spassword»\", \"Amount__c\": 12}\nkey-value: store2026!abc\n",
    ),
    (
        "columns of salesforce",
        "Id,LastName,Portal_Password__c,CloseDate\n0031,Jones,«spassword»,2026-03-07\n0032,Kent,«spassword»,2026-03-08\n",
    ),
    (
        "passwords in prose",
        "Hi Ann, the VPN password is «apassword» and the wifi key is «spassword».\nPlease use user ann, password «spassword»\nssh ann@host (pw «spassword»)\nLogin: ann / «spassword»\nAPI Key - «bearer»\nCredentials - ann:«spassword»\nHere's the token you asked for: «bearer»\nThe password for the admin account has been changed to \"«spassword»\".\nI changed my password from «spassword» to «spassword» yesterday\nThe new temp password you sent («spassword») works.\nPASSWORD elastic = «spassword»\nthe root pw on db1 = «spassword»\nuser is app, pass «spassword»\nPassword (staging) = «spassword»\nWLAN key: «spassword»\nLogin: ann / finance2\nthe wifi key is on the wall\nthe password policy needs 12+ characters, 1 digit!\npassword hash SHA256withRSA1\npassword (8+ characters)\nchanged the timeout from 30s to 60s!\nI changed my password from the old one to a new one\nHere's the token you asked for: see the wiki2026\nPASSWORD manager = Bitwarden\n",
    ),
    (
        "schema with examples",
        "properties:\n  password:\n    type: string\n    example: «spassword»\n  name:\n    type: string\n    example: Tulip2026\n  notes:\n    type: string\n    minLength: 8\n",
    ),
];

/// Types of personal data; every other type is a credential.
const PERSONAL: &[&str] = &[
    "email", "urlemail", "phone", "card", "cvv", "iban", "ssn", "nino", "dob", "dob8", "dobwords",
    "passport", "calls",
];

/// Invented values, the same for the same seed.
pub(crate) struct Inventor(u64);

impl Inventor {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound
    }

    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn from(&mut self, alphabet: &str, count: usize) -> String {
        (0..count)
            .map(|_| char::from(self.one(alphabet.as_bytes())))
            .collect()
    }

    fn digits(&mut self, count: usize) -> String {
        self.from("0123456789", count)
    }

    fn hex(&mut self, count: usize) -> String {
        self.from("0123456789abcdef", count)
    }

    fn alnum(&mut self, count: usize) -> String {
        self.from(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            count,
        )
    }

    fn base64(&mut self, count: usize) -> String {
        self.from(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
            count,
        )
    }

    fn password(&mut self) -> String {
        let word = self.one(&["Tulip", "Bremen", "Falcon", "Harbor", "Winter", "Sparrow"]);
        let sign = self.one(&["!", "_", "-", ".", "%", "+"]);
        match self.below(4) {
            0 => format!("{word}{}{sign}", self.digits(4)),
            1 => format!("{}{}", self.alnum(15), self.digits(1)),
            2 => format!("{}{sign}{}{word}", self.alnum(4), self.digits(3)),
            _ => format!("{}{sign}{}", self.alnum(8), self.digits(4)),
        }
    }

    fn email(&mut self) -> String {
        let first = self.one(&["ann", "bob", "grete", "emmy", "sophie", "jack"]);
        let last = self.one(&["jones", "kent", "hermann", "noether", "germain"]);
        let domain = self.one(&["contoso.com", "litware.eu", "fabrikam.net", "woodgrove.de"]);
        format!("{first}.{last}{}@{domain}", self.digits(2))
    }

    /// A token of three parts, as a JSON Web Token has them.
    fn jwt(&mut self) -> String {
        let header = encode(br#"{"alg":"HS256","typ":"JWT"}"#).replace('=', "");
        let body = encode(format!(r#"{{"sub":"{}","iat":1741369913}}"#, self.digits(8)).as_bytes());
        format!("{header}.{}.{}", body.replace('=', ""), self.alnum(43))
    }

    /// A value of a type, as it stands in the document, and the part of it that must not survive.
    fn value(&mut self, of: &str) -> (String, String) {
        let whole = |value: String| (value.clone(), value);
        match of {
            "password" => whole(self.password()),
            "b64password" => whole(encode(
                format!("{}{}", self.password(), self.password()).as_bytes(),
            )),
            "secret" => match self.below(3) {
                0 => whole(self.hex(40)),
                1 => whole(format!("{}{}", self.alnum(31), self.digits(1))),
                _ => whole(format!("{}7_{}3", self.alnum(20), self.alnum(20))),
            },
            "hexkey" => whole(self.hex(32)),
            "bearer" => whole(format!("{}{}", self.alnum(39), self.digits(1))),
            "cookie" => whole(format!("{}{}", self.alnum(41), self.digits(2))),
            "basic" => whole(encode(format!("svc:{}", self.password()).as_bytes())),
            "jwt" => whole(self.jwt()),
            "storage" => whole(format!("{}==", self.base64(86))),
            "sig" => whole(format!("{}%3D", self.alnum(43))),
            "azfu" => whole(format!("{}AzFu{}==", self.alnum(44), self.alnum(6))),
            "entra" => whole(format!(
                "{}{}Q~{}",
                self.alnum(3),
                self.digits(1),
                self.alnum(34)
            )),
            "aws" => whole(format!(
                "AKIA{}",
                self.from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)
            )),
            "awssecret" => whole(format!("{}1b{}", self.base64(19), self.base64(19))),
            "awssession" => whole(format!("{}==", self.base64(200))),
            "github" => whole(format!("ghp_{}", self.alnum(36))),
            "gitlab" => whole(format!("glpat-{}1", self.alnum(19))),
            "npm" => whole(format!("npm_{}", self.alnum(36))),
            "pypi" => whole(format!("pypi-AgEIcHlwaS5vcmc{}", self.alnum(90))),
            "slack" => whole(format!(
                "xoxb-{}-{}-{}",
                self.digits(12),
                self.digits(13),
                self.alnum(24)
            )),
            "stripe" => whole(format!("sk_live_{}", self.alnum(24))),
            "openai" => whole(format!("sk-proj-{}1", self.alnum(47))),
            "vault" => whole(format!("hvs.{}1", self.alnum(29))),
            "wgkey" => whole(format!("{}=", self.base64(43))),
            "b64key" => {
                let body = (0..3).map(|_| self.base64(64) + "\n").collect::<String>();
                let mark = "PRIVATE KEY";
                whole(encode(
                    format!("-----BEGIN {mark}-----\n{body}-----END {mark}-----\n").as_bytes(),
                ))
            }
            "pem" | "pemline" => {
                let end = if of == "pem" { "\n" } else { "\\n" };
                let mark = "PRIVATE KEY";
                let lines: Vec<String> = (0..3).map(|_| self.base64(64)).collect();
                (
                    format!(
                        "-----BEGIN {mark}-----{end}{}{end}-----END {mark}-----{end}",
                        lines.join(end)
                    ),
                    lines[1].clone(),
                )
            }
            "b64json" => whole(encode(
                format!(r#"{{"user":"app","password":"{}"}}"#, self.password()).as_bytes(),
            )),
            "hexjson" => whole(
                format!(r#"{{"user":"app","password":"{}"}}"#, self.password())
                    .bytes()
                    .map(|byte| format!("{byte:02x}"))
                    .collect(),
            ),
            "b64mail" => {
                let text = format!("Hello Bob,\n\nthe password is {}\n", self.password());
                whole(encode(text.as_bytes()))
            }
            "email" => whole(self.email()),
            "urlemail" => {
                let email = self.email().replace('@', "%40");
                whole(email)
            }
            "phone" => match self.below(4) {
                0 => whole(format!("+49 151 {}", self.digits(8))),
                1 => whole(format!(
                    "+1 ({}) 555-{}",
                    200 + self.below(700),
                    self.digits(4)
                )),
                2 => whole(format!("+4477{}", self.digits(8))),
                _ => whole(format!(
                    "{}-{}-{}",
                    200 + self.below(700),
                    200 + self.below(700),
                    self.digits(4)
                )),
            },
            "card" => {
                let body = format!("4{}", self.digits(14));
                let check = (0..10)
                    .find(|check| luhn(&format!("{body}{check}")))
                    .unwrap_or(0);
                let number = format!("{body}{check}");
                if self.below(2) == 0 {
                    whole(number)
                } else {
                    let groups: Vec<&str> = (0..4).map(|at| &number[at * 4..at * 4 + 4]).collect();
                    whole(groups.join(" "))
                }
            }
            "cvv" => whole(format!("{}", 100 + self.below(899))),
            "iban" => {
                let account = self.digits(18);
                // Letters count from 10: D is 13, E is 14.
                let rest = format!("{account}131400")
                    .bytes()
                    .fold(0_u64, |rest, digit| {
                        (rest * 10 + u64::from(digit - b'0')) % 97
                    });
                whole(format!("DE{:02}{account}", 98 - rest))
            }
            "ssn" => whole(format!(
                "{}-{:02}-{:04}",
                100 + self.below(500),
                10 + self.below(80),
                1000 + self.below(8000)
            )),
            "nino" => whole(format!(
                "{}{}{}",
                self.one(&["TS", "WX", "AB", "PC"]),
                self.digits(6),
                self.one(&["A", "B", "C", "D"])
            )),
            "dob" => whole(format!(
                "{}-{:02}-{:02}",
                1940 + self.below(60),
                1 + self.below(12),
                1 + self.below(28)
            )),
            "dob8" => whole(format!(
                "{}{:02}{:02}",
                1940 + self.below(60),
                1 + self.below(12),
                1 + self.below(28)
            )),
            "dobwords" => {
                let month = self.one(&["March", "September", "Februar", "febrero", "février"]);
                whole(format!(
                    "{:02} {month} {}",
                    1 + self.below(28),
                    1940 + self.below(60)
                ))
            }
            // What could be no name, number or path.
            "spassword" => whole(format!(
                "{}!{}{}",
                self.alnum(5),
                self.alnum(6),
                self.digits(2)
            )),
            "b64apassword" => whole(encode(
                format!("{}{}", self.alnum(12), self.digits(2)).as_bytes(),
            )),
            // Letters and digits alone, as in prose and markup.
            "apassword" => whole(format!("{}{}", self.alnum(12), self.digits(2))),
            "percentless" => whole(format!("{}-{}", self.alnum(8), self.digits(4))),
            "calls" => whole(format!("0{}", 300_000_000 + self.below(99_999_999))),
            "vpnkey" => {
                let lines: Vec<String> = (0..4).map(|_| self.hex(32)).collect();
                (lines.join("\n"), lines[1].clone())
            }
            "hook" => whole(format!("{}7{}3", self.alnum(12), self.alnum(12))),
            "passport" => whole(format!("C{}VT{}", self.digits(1), self.digits(5))),
            "wgpublic" => (format!("{}=", self.base64(43)), String::new()),
            other => panic!("nobody invents a {other}"),
        }
    }

    /// What stands in a clean twin: a reference, a mask, an example, a number that proves nothing.
    fn harmless(&mut self, of: &str) -> String {
        match of {
            "email" => self.one(&["noreply@example.com", "you@example.com"]).into(),
            "urlemail" => "user%20name".into(),
            "phone" | "cvv" | "calls" => "n/a".into(),
            "card" | "iban" | "nino" | "passport" | "ssn" => {
                self.one(&["****", "n/a", "unknown"]).into()
            }
            "dob" | "dob8" | "dobwords" => "unknown".into(),
            "hook" => "latest".into(),
            "vpnkey" => "${VPN_KEY}".into(),
            "pem" | "pemline" => {
                let mark = "PUBLIC KEY";
                format!(
                    "-----BEGIN {mark}----- {} -----END {mark}-----",
                    self.base64(64)
                )
            }
            "b64key" | "b64mail" | "b64json" => encode(b"nothing to see in here, just some words"),
            "hexjson" => "6e6f7468696e6720746f207365652068657265".into(),
            "wgpublic" => format!("{}=", self.base64(43)),
            _ => self
                .one(&[
                    "${DB_PASSWORD}",
                    "********",
                    "changeme",
                    "<redacted>",
                    "{{ secret }}",
                    "YOUR_API_KEY_HERE",
                ])
                .into(),
        }
    }
}

fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, digit)| match u32::from(digit - b'0') {
            digit if index % 2 == 0 => digit,
            digit if digit > 4 => digit * 2 - 9,
            digit => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A secret in a document.
pub(crate) struct Planted {
    pub(crate) of: String,
    /// What must not survive.
    pub(crate) secret: String,
}

/// A document of a kind and what is planted in it.
pub(crate) fn dirty(template: &str, seed: u64) -> (String, Vec<Planted>) {
    let mut inventor = Inventor::new(seed);
    let mut planted = Vec::new();
    let text = fill(template, |of| {
        let (value, secret) = inventor.value(of);
        if !secret.is_empty() {
            planted.push(Planted {
                of: of.into(),
                secret,
            });
        }
        value
    });
    (text, planted)
}

/// A document of a kind with nothing in it.
pub(crate) fn clean(template: &str, seed: u64) -> String {
    let mut inventor = Inventor::new(seed);
    fill(template, |of| inventor.harmless(of))
}

fn fill(template: &str, mut value: impl FnMut(&str) -> String) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('«') {
        let (of, after) = after.split_once('»').unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(&value(of));
        rest = after;
    }
    text + rest
}

/// Whether six characters of a secret in a row are in what was masked, and are not in the document anyway.
pub(crate) fn survives(planted: &Planted, masked: &str, template: &str) -> bool {
    let secret: Vec<char> = planted.secret.chars().collect();
    let width = secret.len().min(6);
    secret.windows(width).any(|part| {
        let part: String = part.iter().collect();
        masked.contains(&part) && !template.contains(&part)
    })
}

pub(crate) fn is_personal(of: &str) -> bool {
    PERSONAL.contains(&of)
}
