//! Robots that run a page's scripts or load its images. They are labelled and never dropped: a report leaves them out by this list
//! as it is when the report is made, so that a better list is right about the past too.

/// Parts of what robots call themselves, with regard to case. Capitals matter: phones are called `CUBOT`.
pub const MARKS: [&str; 34] = [
    "bot/",
    "bot;",
    "bot-",
    "bot)",
    "Bot/",
    "Bot;",
    "Bot-",
    "Bot ",
    "Bot)",
    "robot",
    "Robot",
    "crawl",
    "Crawl",
    "spider",
    "Spider",
    "Slurp",
    "facebookexternalhit",
    "HeadlessChrome",
    "PhantomJS",
    "Lighthouse",
    "PageSpeed",
    "Mediapartners-Google",
    "Google-InspectionTool",
    "Google-Read-Aloud",
    "GoogleOther",
    "GTmetrix",
    "Pingdom",
    "StatusCake",
    "Site24x7",
    "Prerender",
    "SkypeUriPreview",
    "archiver",
    "Bytespider",
    "Yahoo Link Preview",
];

/// Whether a user agent is a robot's by the list of today.
pub fn is_bot(agent: &str) -> bool {
    MARKS.iter().any(|mark| agent.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn robots_are_known_and_people_are_not_taken_for_them() {
        for robot in [
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; Googlebot/2.1; +http://www.google.com/bot.html) Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
            "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)",
            "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (compatible; Pingdom.com_bot_version_1.4_(http://www.pingdom.com/))",
            "Mozilla/5.0 (Linux; Android 7.0; Moto G (4)) AppleWebKit/537.36 Chrome/119.0 Mobile Safari/537.36 Chrome-Lighthouse",
        ] {
            assert!(is_bot(robot), "{robot}");
        }
        for person in [
            "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; Cubot P80) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
        ] {
            assert!(!is_bot(person), "{person}");
        }
    }
}
