//! The built-in detectors by name, and where each one's shape comes from.

use crate::domain::masking::rules::DetectorSet;

macro_rules! detectors {
    ($($(#[$meta:meta])* $variant:ident, $set:ident, $name:literal, $source:literal;)*) => {
        /// One built-in detector.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(in crate::domain::masking) enum Kind {
            $($variant,)*
        }

        impl Kind {
            /// Every detector.
            #[cfg(test)]
            pub(in crate::domain::masking) const ALL: &[Self] = &[$(Self::$variant,)*];

            /// What its findings are counted as.
            pub(in crate::domain::masking) fn label(self) -> &'static str {
                match self { $(Self::$variant => detectors!(@label $set $name),)* }
            }

            /// The set it is switched with.
            pub(in crate::domain::masking) fn set(self) -> DetectorSet {
                match self { $(Self::$variant => DetectorSet::$set,)* }
            }

            /// Where its shape is written down.
            #[cfg(test)]
            pub(in crate::domain::masking) fn source(self) -> &'static str {
                match self { $(Self::$variant => $source,)* }
            }
        }
    };
    (@label Secrets $name:literal) => { concat!("secrets:", $name) };
    (@label Personal $name:literal) => { concat!("personal:", $name) };
}

detectors! {
    Password, Secrets, "password", "the name it is kept under: column, key, flag, attribute";
    GenericSecret, Secrets, "secret", "the name it is kept under, and a value that could be one";
    UriPassword, Secrets, "uri_password", "RFC 3986, 3.2.1: userinfo";
    Bearer, Secrets, "bearer", "RFC 6750";
    BasicAuth, Secrets, "basic_auth", "RFC 7617: decodes to user:password";
    Cookie, Secrets, "cookie", "RFC 6265: the value of Cookie and Set-Cookie";
    Jwt, Secrets, "jwt", "RFC 7519: the first part decodes to a JSON header";
    PrivateKey, Secrets, "private_key", "RFC 7468, OpenSSH PROTOCOL.key, PuTTY PPK";
    AzureStorage, Secrets, "azure_storage_key", "Azure Storage account keys: 64 bytes in base64";
    AzureKey, Secrets, "azure_key", "Microsoft's identifiable keys: a signature at a fixed place, and attributes of connection strings";
    AzureSas, Secrets, "azure_sas", "Azure Storage shared access signatures: `sig`";
    AzureFunction, Secrets, "azure_function_key", "Azure Functions keys: signature AzFu";
    AzureRedis, Secrets, "azure_redis_key", "Azure Cache for Redis keys: signature AzCa";
    EntraSecret, Secrets, "entra_client_secret", "Entra application passwords: `Q~` after four characters";
    EntraRefresh, Secrets, "entra_refresh_token", "Entra refresh tokens: version, dot, `A`";
    AcrPassword, Secrets, "acr_password", "Azure Container Registry passwords: signature +ACR";
    DevopsPat, Secrets, "azure_devops_pat", "Azure DevOps personal access tokens: signature AZDO, or 52 of base32";
    AwsAccessKey, Secrets, "aws_access_key", "AWS IAM unique identifiers: AKIA and ASIA";
    AwsSecretKey, Secrets, "aws_secret_key", "AWS secret access keys: 40 of base64";
    GoogleKey, Secrets, "google_key", "Google Cloud API keys, OAuth client secrets and tokens";
    GithubToken, Secrets, "github_token", "GitHub token formats: a prefix and a CRC-32 in base62";
    GitlabToken, Secrets, "gitlab_token", "GitLab token prefixes";
    SlackToken, Secrets, "slack_token", "Slack token types";
    Webhook, Secrets, "webhook", "incoming webhooks of Slack, Discord and Microsoft Teams: the path is the secret";
    StripeKey, Secrets, "stripe_key", "Stripe API keys";
    SendgridKey, Secrets, "sendgrid_key", "SendGrid API keys";
    OpenaiKey, Secrets, "openai_key", "OpenAI API keys";
    AnthropicKey, Secrets, "anthropic_key", "Anthropic API keys";
    HuggingFace, Secrets, "huggingface_token", "Hugging Face user access tokens";
    Databricks, Secrets, "databricks_token", "Databricks personal access tokens";
    NpmToken, Secrets, "npm_token", "npm access tokens: a prefix and a CRC-32 in base62";
    PypiToken, Secrets, "pypi_token", "PyPI API tokens: macaroons";
    DockerPat, Secrets, "docker_token", "Docker Hub access tokens";
    SaasToken, Secrets, "saas_token", "prefixes published by their issuers for secret scanning";
    Email, Personal, "email", "RFC 5321, with a top-level domain";
    Phone, Personal, "phone", "ITU-T E.164, and the national formats of North America and the United Kingdom";
    Card, Personal, "card", "ISO/IEC 7812: issuer ranges and the Luhn digit";
    Iban, Personal, "iban", "ISO 13616: length per country, ISO 7064 mod 97-10";
    UsSsn, Personal, "us_ssn", "SSA: area, group and serial numbers";
    UkNino, Personal, "uk_nino", "HMRC NIM39110";
    NationalId, Personal, "national_id", "national identifiers with their check digits";
    Passport, Personal, "passport", "ICAO 9303 document numbers, by the name they are kept under";
    BirthDate, Personal, "date_of_birth", "a date, by the name it is kept under or the word before it";
}
