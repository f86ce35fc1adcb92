# What xendomains(8) would start at boot. Parameters: the site's configs. Lines of words in base64: the folder and where it
# really is; `config` and where each config really is; `entry`, its path, where that really is, and its content.
word() { printf ' '; base64 -w 0; }
folder=$(@folder@)
if [ -n "$folder" ]; then
    printf 'folder'; printf '%s' "$folder" | word; readlink -m -n -- "$folder" | word; echo
    for config; do printf 'config'; readlink -m -n -- "$config" | word; echo; done
    for file in "$folder"/*; do
        # a link whose target is not there yet counts: its storage may be mounted later
        if [ -L "$file" ] || [ -f "$file" ]; then
            printf 'entry'; printf '%s' "$file" | word; readlink -m -n -- "$file" | word
            if [ -f "$file" ]; then word < "$file"; fi
            echo
        fi
    done
fi
