//! A small site to be visited: a web server of a few fixed pages, each with the tracker in another way.

use crate::support::WRITE_KEY;
use crate::webdriver::site::{Page, serve};

/// Serves the pages on a free port until the tests end; the address.
pub fn start() -> String {
    format!("127.0.0.1:{}", serve(page))
}

/// The two scripts of the original snippet, from this server.
fn snippet() -> String {
    format!(
        "<script>var _kmq = _kmq || []; var _kmk = _kmk || '{WRITE_KEY}';\n\
         function _kms(u) {{ setTimeout(function () {{\n\
         var d = document, f = d.getElementsByTagName('script')[0], s = d.createElement('script');\n\
         s.type = 'text/javascript'; s.async = true; s.src = u; f.parentNode.insertBefore(s, f); }}, 1); }}\n\
         _kms('//stats.example/i.js'); _kms('//stats.example/' + _kmk + '.2.js');</script>"
    )
}

/// One tag, with attributes.
fn tag(attributes: &str) -> String {
    format!("<script async src='http://stats.example/{WRITE_KEY}.2.js' {attributes}></script>")
}

/// What the pages of the shop can do.
const SHOP: &str = r#"
<button id=buy>Buy</button> <button class="small maybe"><b>Maybe</b></button>
<button data-km-event="Asked" data-km-prop-topic="prices">Ask</button>
<a id=out class=external href="http://other.example/there">Elsewhere</a>
<form id=signup action=/thanks>
<input name="user[name]" value=Jane><input name=email type=email value=jane@example.com>
<input name=password type=password value=hunter2><input name=card_number_cc value=1><input name=cvc value=123>
<input name=bank_account value=1><input name=iban value=1><input name=card_no value=1><input name=pin value=1>
<input name=user_pin value=1><input name="payment[cc]" value=1><input name=shipping value=Post>
<input name=plan type=radio value=Free><input name=plan type=radio value=Pro checked>
<input name="likes[]" type=checkbox value=tea checked><input name="likes[]" type=checkbox value=cake checked>
<input name=hidden type=hidden value=1><input class=km_include name=source type=hidden value=footer>
<input class=km_ignore name=note value=secret><textarea name=message>long</textarea>
<select name=country><option>AT<option selected>DE</select><button id=send>Send</button></form>"#;

const STRICT: &str = "Content-Security-Policy: default-src 'none'; script-src 'self' http://stats.example; \
                      connect-src http://stats.example\r\n";
const IMAGES: &str = "Content-Security-Policy: default-src 'none'; script-src 'self' http://stats.example; \
                      img-src http://stats.example\r\n";
const OWN_SCRIPT: &str = "window.violations = 0;\n\
    document.addEventListener('securitypolicyviolation', () => violations++);\n\
    window._kmq = window._kmq || []; _kmq.push(['record', 'Loaded', { policy: document.title }]);";

fn page(path: &str) -> Option<Page> {
    let own = "<script src=/own.js></script>";
    let html = |fields, head: &str, body: &str| {
        let text = format!("<!doctype html><meta charset=utf-8><title>Shop</title>{head}<body>{body}</body>");
        Page { kind: "text/html", fields, text }
    };
    Some(match path {
        "/" | "/thanks" => html("", &snippet(), SHOP),
        "/links" => {
            let link = "<a id=go href='http://www.shop.example/'>Shop</a>";
            html("Referrer-Policy: unsafe-url\r\n", "", link)
        }
        "/there" => html("", "", "there"),
        "/spa" => html("", &tag("data-page-views=on"), SHOP),
        "/asks" => html("", &tag("data-consent=required"), SHOP),
        "/bare" => html("", &tag("data-cookies=off"), SHOP),
        "/strict" => {
            let tag =
                format!("<script async src=http://stats.example/js/app.js data-key={WRITE_KEY}></script>");
            html(STRICT, &format!("{own}{tag}"), SHOP)
        }
        "/images" => html(IMAGES, &format!("{own}{}", tag("")), SHOP),
        "/own.js" => Page { kind: "text/javascript", fields: "", text: OWN_SCRIPT.to_owned() },
        _ => return None,
    })
}
