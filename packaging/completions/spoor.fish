# fish completion of spoor: the program itself knows what may follow.
function __spoor_offered
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c spoor -f -a '(__spoor_offered)'
