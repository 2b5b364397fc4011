//! Channels: how people came, read from what a campaign or a referrer says. A referrer is judged by its host: search engines are
//! organic, networks of people are social, any other site is a referral.

/// Search engines by the name before the ending of their domain, which differs by country.
const ENGINES: [&str; 20] = [
    "google",
    "bing",
    "yahoo",
    "duckduckgo",
    "ecosia",
    "yandex",
    "baidu",
    "qwant",
    "startpage",
    "ask",
    "aol",
    "naver",
    "seznam",
    "sogou",
    "dogpile",
    "lycos",
    "altavista",
    "mojeek",
    "swisscows",
    "kagi",
];

/// Sites where people talk to each other; their subdomains belong to them.
const SOCIAL: [&str; 64] = [
    "facebook.com",
    "fb.com",
    "fb.me",
    "messenger.com",
    "instagram.com",
    "threads.net",
    "threads.com",
    "whatsapp.com",
    "wa.me",
    "twitter.com",
    "t.co",
    "x.com",
    "linkedin.com",
    "lnkd.in",
    "xing.com",
    "youtube.com",
    "youtu.be",
    "tiktok.com",
    "pinterest.com",
    "pinterest.de",
    "pinterest.co.uk",
    "pin.it",
    "reddit.com",
    "redd.it",
    "quora.com",
    "tumblr.com",
    "flickr.com",
    "vimeo.com",
    "twitch.tv",
    "discord.com",
    "discord.gg",
    "telegram.org",
    "t.me",
    "snapchat.com",
    "weibo.com",
    "weibo.cn",
    "weixin.qq.com",
    "qzone.qq.com",
    "douban.com",
    "vk.com",
    "ok.ru",
    "line.me",
    "kakao.com",
    "mixi.jp",
    "ameba.jp",
    "medium.com",
    "substack.com",
    "bsky.app",
    "mastodon.social",
    "mastodon.online",
    "mstdn.social",
    "fosstodon.org",
    "hachyderm.io",
    "news.ycombinator.com",
    "lobste.rs",
    "producthunt.com",
    "stackoverflow.com",
    "github.com",
    "meetup.com",
    "nextdoor.com",
    "slack.com",
    "myspace.com",
    "livejournal.com",
    "goodreads.com",
];

/// The channel of a referrer as it was sent: a URL, a host, or `Direct` for none.
pub fn of_referrer(referrer: &str) -> &'static str {
    let text = referrer.trim();
    if text.is_empty() || text.eq_ignore_ascii_case("direct") {
        return "Direct";
    }
    let host = host(text);
    let within = |site: &str| host == site || host.strip_suffix(site).is_some_and(|rest| rest.ends_with('.'));
    if SOCIAL.into_iter().any(within) {
        return "Social";
    }
    if registered(&host).is_some_and(|name| ENGINES.contains(&name)) { "Organic" } else { "Referral" }
}

/// The name that was registered: the one before the ending, which has two parts in some countries (`co.uk`).
fn registered(host: &str) -> Option<&str> {
    let mut labels = host.rsplit('.');
    let ending = labels.next()?;
    let name = labels.next()?;
    let second_part = ending.len() == 2 && name.len() <= 3;
    if second_part { labels.next().or(Some(name)) } else { Some(name) }
}

/// The channel of a campaign's medium: one of the known kinds, or the medium itself.
pub fn of_medium(medium: &str) -> String {
    let text = medium.trim();
    match text.to_lowercase().as_str() {
        "cpc" | "cpm" | "display" | "cpv" | "cpa" | "cpp" | "ppc" => "Paid".to_owned(),
        "email" | "e-mail" => "Email".to_owned(),
        "organic" | "organic search" => "Organic".to_owned(),
        "social" | "social-network" | "social-media" | "sm" | "social network" | "social media" => {
            "Social".to_owned()
        }
        _ => text.to_owned(),
    }
}

fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host).to_lowercase();
    host.strip_prefix("www.").map_or(host.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn referrers_have_channels() {
        for (referrer, channel) in [
            ("", "Direct"),
            ("Direct", "Direct"),
            ("https://www.google.co.uk/search?q=x", "Organic"),
            ("http://search.yahoo.com/", "Organic"),
            ("duckduckgo.com", "Organic"),
            ("https://m.facebook.com/a", "Social"),
            ("https://news.ycombinator.com/item?id=1", "Social"),
            ("https://notfacebook.com/", "Referral"),
            ("https://google.example.com/", "Referral"),
            ("https://user@blog.example.org:8080/google.com", "Referral"),
        ] {
            assert_eq!(of_referrer(referrer), channel, "{referrer}");
        }
        assert_eq!([of_medium("CPC"), of_medium(" Podcast ")], ["Paid", "Podcast"]);
    }
}
